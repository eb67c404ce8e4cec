/*
 * The relay: stands between a hypervisor and a file server (virtiofsd) where the guest's memory is the hypervisor's
 * alone. A clone has the memory of its template copy-on-write; what it changes nobody else sees, so a file server that
 * maps the same file would read the template's rings. The relay reads and writes the guest's memory through the
 * hypervisor's process, and gives the file server memory of its own, in which nothing but requests and answers is.
 *
 *   guest -- ring --> [hypervisor's process] <-- /proc/PID/mem --> relay -- ring --> file server
 *
 * Both speak vhost-user (docs/interop/vhost-user.rst of QEMU) with it: most messages are passed on; memory, rings and
 * events are told to each as it is to see them. Features that would need more of us are not offered.
 *
 *   relay USER    descriptors 3: the hypervisor, 4: the file server, 5: a socket that /proc/PID/mem comes by
 *
 * It is started before the hypervisor is, so nobody knows yet whose memory it will be: that comes once the hypervisor
 * runs, and is waited for when the guest begins to use the share.
 *
 * It becomes USER (a number, of the group too), opens nothing, and a filter allows it a dozen system calls. It ends with
 * either side. A guest whose rings are not as they must be ends it too, and with it the share: its words are on standard
 * error.
 *
 *   relay.c    messages, events;   queues.c    requests and answers;   memory.c    both memories
 */
#include "relay.h"
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define HYPERVISOR 3
#define SERVER 4
#define MEMORY_SOCKET 5
#define VERSION 1u
#define REPLY 4u
#define NEED_REPLY 8u
#define FDS 8
#define IDLE_MS 1000

/* Features of the rings that are not offered: log, indirect descriptors, event index, access by IOMMU, packed, order. */
#define NO_FEATURES (1ull << 26 | 1ull << 28 | 1ull << 29 | 1ull << 33 | 1ull << 34 | 1ull << 35)
/* Of the protocol only: several queues, answers to what asks for one, and regions one by one. */
#define PROTOCOL (1ull << 0 | 1ull << 3)
#define MEMORY_SLOTS (1ull << 15)

enum {
  GET_FEATURES = 1, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEMORY, SET_LOG_BASE, SET_LOG_FD, SET_SIZE, SET_ADDRESS,
  SET_BASE, GET_BASE, SET_KICK, SET_CALL, SET_ERROR, GET_PROTOCOL, SET_PROTOCOL, GET_QUEUES, SET_ENABLE,
  GET_SLOTS = 36, ADD_REGION, REMOVE_REGION,
};

struct message {
  uint32_t padding; /* What follows is sent: three words, and what is as they say. */
  uint32_t request, flags, size;
  union {
    uint64_t number;
    struct {
      uint32_t index, number;
    } state;
    struct {
      uint32_t index, flags;
      uint64_t descriptors, used, available, log;
    } address;
    struct {
      uint32_t count, padding;
      struct region regions[8];
    } memory;
    struct {
      uint64_t padding;
      struct region region;
    } one;
    unsigned char bytes[512];
  };
};
#define HEADER 12

void fail(const char *what) {
  dprintf(2, "relay: %s\n", what);
  _exit(1);
}

/* Receives bytes and the descriptors that come with them. Ends with the other side. */
static ssize_t receive_part(int socket, void *data, size_t bytes, int *fds, int *count) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(FDS * sizeof(int))];
  } control;
  struct iovec part = {data, bytes};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got;
  do got = recvmsg(socket, &head, MSG_CMSG_CLOEXEC | MSG_WAITALL);
  while (got < 0 && errno == EINTR);
  if (got <= 0) _exit(0);
  struct cmsghdr *c = CMSG_FIRSTHDR(&head);
  *count = 0;
  if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
    *count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(c), (size_t)*count * sizeof(int));
  }
  return got;
}

static void receive(int socket, struct message *m, int *fds, int *count) {
  ssize_t got = receive_part(socket, &m->request, HEADER, fds, count);
  if (got != HEADER || (m->flags & 3) != VERSION || m->size > sizeof m->bytes) fail("this is not vhost-user");
  for (size_t at = 0; at < m->size; at += (size_t)got)
    if ((got = read(socket, m->bytes + at, m->size - at)) <= 0) fail("a message ends too early");
}

static void send_message(int socket, const struct message *m, int fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {(void *)&m->request, HEADER + m->size};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memset(&control, 0, sizeof control);
    head.msg_control = &control;
    head.msg_controllen = sizeof control;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  }
  if (sendmsg(socket, &head, MSG_NOSIGNAL) != (ssize_t)part.iov_len) _exit(0);
}

/* Passes a message on, and what is answered back. */
static void pass(struct message *m, int fd) {
  int asks = m->request == GET_FEATURES || m->request == GET_BASE || m->request == GET_PROTOCOL ||
             m->request == GET_QUEUES || (m->flags & NEED_REPLY);
  uint32_t request = m->request, index = m->state.index;
  int fds[FDS], count;
  send_message(SERVER, m, fd);
  if (!asks) return;
  receive(SERVER, m, fds, &count);
  for (int i = 0; i < count; i++) close(fds[i]);
  if (request == GET_FEATURES) m->number &= ~NO_FEATURES;
  if (request == GET_PROTOCOL) m->number = (m->number & PROTOCOL) | MEMORY_SLOTS;
  if (request == GET_BASE) give_back(index); /* The server has answered all that it was asked. */
  send_message(HYPERVISOR, m, -1);
}

static struct queue *queue_of(uint32_t index) {
  if (index >= QUEUES) fail("there is no such queue");
  return &queues[index];
}

static void answer(struct message *m, uint64_t number) {
  m->flags = VERSION | REPLY, m->size = 8, m->number = number;
  send_message(HYPERVISOR, m, -1);
}

static void receive_memory(void) {
  char byte;
  int fds[FDS], count;
  receive_part(MEMORY_SOCKET, &byte, 1, fds, &count);
  if (count != 1) fail("nobody gave the guest's memory");
  memory_fd = fds[0];
  close(MEMORY_SOCKET);
}

/* The regions of the guest are ours to know; the server has one of its own, and that for good. */
static void set_memory(struct message *m) {
  static int told;
  if (m->request == ADD_REGION) add_region(&m->one.region);
  else if (m->request == REMOVE_REGION) remove_region(&m->one.region);
  else {
    if (m->memory.count > sizeof m->memory.regions / sizeof *m->memory.regions) fail("too many regions of memory");
    set_regions(m->memory.regions, m->memory.count);
  }
  if (!told) {
    receive_memory();
    struct message own = {.request = SET_MEMORY, .flags = VERSION, .size = 8 + sizeof(struct region)};
    own.memory.count = 1;
    own.memory.regions[0] = (struct region){SHADOW_GUEST, SHADOW_BYTES, SHADOW_USER, 0};
    send_message(SERVER, &own, shadow_fd);
    told = 1;
  }
  if (m->flags & NEED_REPLY) answer(m, 0);
}

static void set_address(struct message *m) {
  struct queue *q = queue_of(m->address.index);
  unsigned index = m->address.index;
  q->descriptors = m->address.descriptors;
  q->available = m->address.available;
  q->used = m->address.used;
  m->address.descriptors = server_ring(index, 0);
  m->address.available = server_ring(index, 1);
  m->address.used = server_ring(index, 2);
  m->address.flags = 0;
  pass(m, -1);
}

/* An event of the hypervisor's, and ours in its place for the server. */
static void set_event(struct message *m, int *ours, int fd, int for_server) {
  if (fd < 0) fail("a queue without an event");
  if (*ours >= 0) close(*ours);
  *ours = fd;
  pass(m, for_server);
}

static void stop(uint32_t index) {
  struct queue *q = queue_of(index);
  q->running = 0;
  if (q->guest_kick >= 0) close(q->guest_kick);
  q->guest_kick = -1;
}

static void handle(struct message *m, int fd) {
  uint32_t index = m->state.index;
  switch (m->request) {
    case SET_MEMORY: case ADD_REGION: case REMOVE_REGION: return set_memory(m);
    case GET_SLOTS: return answer(m, REGIONS);
    case SET_PROTOCOL:
      m->number &= PROTOCOL;
      return pass(m, -1);
    case SET_ADDRESS: return set_address(m);
    case SET_SIZE:
      if (m->state.number == 0 || m->state.number > RING_MAX) fail("a queue of a wrong size");
      queue_of(index)->size = m->state.number;
      return pass(m, -1);
    case SET_BASE:
      queue_of(index);
      rebase(index, (uint16_t)m->state.number);
      return pass(m, -1);
    case GET_BASE:
      stop(index);
      return pass(m, -1);
    case SET_KICK: {
      struct queue *q = queue_of(index & 255);
      if (q->size == 0) fail("a queue is to run that has no size");
      set_event(m, &q->guest_kick, fd, q->server_kick);
      q->running = 1;
      return take(index & 255);
    }
    case SET_CALL: {
      struct queue *q = queue_of(index & 255);
      return set_event(m, &q->guest_call, fd, q->server_call);
    }
    case SET_ERROR:
      pass(m, fd);
      if (fd >= 0) close(fd);
      return;
    case GET_FEATURES: case SET_FEATURES: case SET_OWNER: case RESET_OWNER:
    case GET_PROTOCOL: case GET_QUEUES: case SET_ENABLE:
      return pass(m, -1);
    default:
      fail("the hypervisor asks what was not offered");
  }
}

static void handle_message(void) {
  struct message m;
  int fds[FDS], count;
  memset(&m, 0, sizeof m);
  receive(HYPERVISOR, &m, fds, &count);
  int uses = m.request == SET_KICK || m.request == SET_CALL || m.request == SET_ERROR;
  for (int i = uses; i < count; i++) close(fds[i]);
  handle(&m, uses && count > 0 ? fds[0] : -1);
}

/* System calls from now on; any other one ends the process. SECCOMP_MODE_FILTER: seccomp(2), linux/filter.h. */
static void confine(void) {
  static const unsigned allowed[] = {
    SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_recvmsg, SYS_sendmsg, SYS_poll, SYS_madvise, SYS_close,
    SYS_exit_group, SYS_writev, SYS_restart_syscall,
  };
  struct {
    uint16_t code;
    uint8_t yes, no;
    uint32_t value;
  } filter[64], *at = filter;
#define ADD(...) *at++ = (typeof(*at)){__VA_ARGS__}
  ADD(0x20, 0, 0, 4);          /* load the architecture */
  ADD(0x15, 1, 0, 0xc000003e); /* x86-64 */
  ADD(0x06, 0, 0, 0x80000000); /* kill the process */
  ADD(0x20, 0, 0, 0);          /* load the number of the call */
  for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
    ADD(0x15, 0, 1, allowed[i]);
    ADD(0x06, 0, 0, 0x7fff0000); /* allow */
  }
  ADD(0x06, 0, 0, 0x80000000);
  struct {
    unsigned short length;
    void *filter;
  } program = {(unsigned short)(at - filter), filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, 2, &program) < 0) fail("cannot be confined");
}

static void become(const char *user) {
  unsigned id = user == NULL ? 0 : (unsigned)strtoul(user, NULL, 10);
  if (id == 0) fail("usage: relay USER");
  if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0) fail("cannot give up root");
}

int main(int argc, char **argv) {
  make_shadow();
  make_queues();
  become(argc == 2 ? argv[1] : NULL);
  confine();
  for (int trimmed = 1;;) {
    struct pollfd fds[2 + 2 * QUEUES] = {{.fd = HYPERVISOR, .events = POLLIN}, {.fd = SERVER}};
    for (unsigned i = 0; i < QUEUES; i++) {
      fds[2 + i] = (struct pollfd){.fd = queues[i].guest_kick, .events = POLLIN};
      fds[2 + QUEUES + i] = (struct pollfd){.fd = queues[i].server_call, .events = POLLIN};
    }
    int ready = poll(fds, 2 + 2 * QUEUES, trimmed ? -1 : IDLE_MS);
    if (ready < 0 && errno != EINTR) fail("cannot wait");
    if (ready == 0) trimmed = !trim_slots();
    if (ready <= 0) continue;
    trimmed = 0;
    uint64_t times;
    int answered = 0;
    for (unsigned i = 0; i < QUEUES; i++) {
      if ((fds[2 + QUEUES + i].revents & POLLIN) && read(queues[i].server_call, &times, 8) == 8)
        give_back(i), answered = 1;
      if ((fds[2 + i].revents & POLLIN) && read(queues[i].guest_kick, &times, 8) == 8) take(i);
    }
    if (answered) take_all();
    if (fds[0].revents != 0) handle_message();
    if (fds[1].revents & (POLLHUP | POLLERR)) _exit(0);
  }
}

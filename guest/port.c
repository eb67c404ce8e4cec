/* The virtio-serial port: frames that came, frames that wait to go, and the greeting of a new host. */
#include <dirent.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include "agent.h"

#define QUEUE_LIMIT (4 * 1024 * 1024)
#define COMPACT_AT (128 * 1024)
#define LOG_LIMIT (64 * 1024) /* what waits; further lines of the log are dropped */
#define FIND_MS 10000
#define PAGES_AT_ONCE 16

struct buffer port_queue = {.limit = QUEUE_LIMIT};
static size_t queue_sent; /* bytes at the queue's front that went */
uint32_t host_number;
bool host_is_there;

static uint8_t parser_bytes[FRAME_OVERHEAD + MAX_PAYLOAD];
static struct frame_parser parser = {.bytes = parser_bytes};

/* Of the kernel's start, so known from then on: a clone's first answer need not look for it. */
static char boot_id[64];

static void on_port(struct watch *watch, uint32_t events);
static struct watch port = {.fd = -1, .ready = on_port};

size_t port_waiting(void) { return port_queue.size - queue_sent; }

static bool find_port(char *path, size_t size) {
  struct dirent *entry;
  DIR *directory = opendir("/sys/class/virtio-ports");
  bool found = false;
  if (directory == NULL) return false;
  while (!found && (entry = readdir(directory)) != NULL) {
    char name_path[MAX_PATH], name[64];
    snprintf(name_path, sizeof(name_path), "/sys/class/virtio-ports/%s/name", entry->d_name);
    if (read_file(name_path, name, sizeof(name)) <= 0) continue;
    name[strcspn(name, "\n")] = 0;
    if (strcmp(name, PORT_NAME) != 0) continue;
    snprintf(path, size, "/dev/%s", entry->d_name);
    found = true;
  }
  closedir(directory);
  return found;
}

void port_open(void) {
  char path[MAX_PATH];
  read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
  boot_id[strcspn(boot_id, "\n")] = 0;
  for (uint64_t end = now_ms() + FIND_MS; port.fd < 0 && now_ms() < end; usleep(500))
    if (find_port(path, sizeof(path))) port.fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (port.fd < 0) {
    fprintf(stderr, "skiff agent: there is no virtio-serial port %s\n", PORT_NAME);
    abort();
  }
  watch_set(&port, EPOLLIN);
}

/*
 * A port without a host hangs up for as long as that lasts: that is told once (EPOLLET), and when a host comes the port
 * can be written again.
 */
static void host_went(void) {
  host_is_there = false;
  parser.size = 0;
  port_queue.size = queue_sent = 0;
  watch_set(&port, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void on_port(struct watch *watch, uint32_t events) {
  static uint8_t bytes[64 * 1024];
  struct frame frame;
  if (watch->events & EPOLLET) {
    if (events & EPOLLHUP) return;
    watch_set(watch, EPOLLIN);
  }
  if (events & EPOLLOUT) port_flush();
  ssize_t size = 0;
  /* The kernel gives one page at a time. */
  for (int pages = 0; pages < PAGES_AT_ONCE; pages++) {
    size = read(watch->fd, bytes, sizeof(bytes));
    if (size <= 0) break;
    struct span input = {bytes, (size_t)size};
    while (frame_next(&parser, &input, &frame)) handle_frame(&frame);
  }
  /* Asked again: another host may have come, and greeted, since the event. */
  struct pollfd state = {.fd = watch->fd, .events = POLLIN};
  if (size <= 0 && (events & EPOLLHUP) && poll(&state, 1, 0) == 1 && (state.revents & POLLHUP)) host_went();
}

/* A host that asks for so much and reads so little has to greet anew. */
static void drop_queue(void) {
  host_is_there = false;
  port_queue.failed = false;
  port_queue.size = queue_sent = 0;
}

void port_flush(void) {
  while (port_waiting() > 0) {
    ssize_t size = write(port.fd, port_queue.at + queue_sent, port_waiting());
    if (size <= 0) break;
    queue_sent += (size_t)size;
  }
  if (port_queue.failed) drop_queue();
  if (queue_sent >= COMPACT_AT || port_waiting() == 0) {
    memmove(port_queue.at, port_queue.at + queue_sent, port_waiting());
    port_queue.size -= queue_sent;
    queue_sent = 0;
  }
  if (!(port.events & EPOLLET)) watch_set(&port, port_waiting() > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void send_reply(const struct call *call, struct buffer *body) {
  if (host_is_there && call->host == host_number) frame_add(&port_queue, FRAME_REPLY, call->number, body->at, body->size);
  buffer_free(body);
  port_flush();
}

/* Says that a call was done, or what its failure is. */
void reply(const struct call *call) {
  struct buffer body = {.limit = MAX_PAYLOAD};
  put_number(&body, 1, (uint64_t)call->failure.number);
  put_text(&body, 2, call->failure.number == 0 ? "" : call->failure.text);
  send_reply(call, &body);
}

/* Replies with a result, which it frees. */
enum answer reply_with(const struct call *call, uint32_t field, struct buffer *result) {
  struct call too_large = *call;
  struct buffer body = {.limit = MAX_PAYLOAD};
  bool failed = result->failed;
  put_message(&body, field, result);
  if (!failed && !body.failed) {
    send_reply(call, &body);
    return BY_ITSELF;
  }
  buffer_free(&body);
  fail(&too_large.failure, EMSGSIZE, "the result does not fit into one reply");
  reply(&too_large);
  return BY_ITSELF;
}

void event(uint32_t field, const struct buffer *body) {
  struct buffer whole = {.limit = MAX_PAYLOAD};
  if (!host_is_there || body->failed) return;
  put_bytes(&whole, field, body->at, body->size);
  frame_add(&port_queue, FRAME_EVENT, 0, whole.at, whole.size);
  buffer_free(&whole);
  port_flush();
}

void say(const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  fprintf(stderr, "skiff agent: %s\n", line);
  struct buffer body = {.at = (uint8_t *)line, .size = strlen(line), .limit = sizeof(line)};
  if (port_waiting() < LOG_LIMIT) event(3, &body);
}

static void put_all(struct buffer *out) {
  struct utsname name;
  uname(&name);
  put_number(out, 1, PROTOCOL_VERSION);
  put_text(out, 2, boot_id);
  put_text(out, 3, name.release);
  for (struct container *each = containers; each != NULL; each = each->next) {
    struct buffer one = {.limit = MAX_PAYLOAD};
    container_put(&one, each);
    put_message(out, 4, &one);
  }
  for (struct process *each = processes; each != NULL; each = each->next) {
    struct buffer one = {.limit = MAX_PAYLOAD};
    process_put(&one, each);
    put_message(out, 5, &one);
  }
}

/* A new host: nothing that was meant for the one before is sent to it. */
void greet(struct span nonce, struct call *call) {
  struct buffer all = {.limit = MAX_PAYLOAD};
  call->host = ++host_number;
  host_is_there = true;
  port_queue.size = queue_sent = 0;
  buffer_add(&port_queue, "SKIFFVM1", 8);
  buffer_add(&port_queue, nonce.at, nonce.size);
  streams_rewind();
  put_all(&all);
  reply_with(call, 3, &all);
}

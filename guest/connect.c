/* TCP connections into the pod, for port-forwarding: no tool is needed in any container. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "agent.h"

/* A connection that is being made. */
struct attempt {
  struct watch watch;
  uint32_t call, host, handle;
};

static void give_up(struct attempt *attempt, struct failure *failure) {
  watch_close(&attempt->watch);
  reply(attempt->call, attempt->host, failure, 0, NULL);
  free(attempt);
}

static void connected(struct watch *watch, uint32_t events) {
  struct attempt *attempt = (struct attempt *)watch;
  struct failure failure = {0};
  int number = 0;
  socklen_t size = sizeof(number);
  (void)events;
  getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &number, &size);
  if (number != 0) {
    fail(&failure, number, "cannot connect");
    return give_up(attempt, &failure);
  }
  struct process *process = attempt->host == host_number ? process_new(attempt->handle, NULL, &failure) : NULL;
  if (process == NULL) return give_up(attempt, &failure);
  int fd = watch->fd;
  watch_set(watch, 0);
  stream_open(&process->streams[0], process, 0, fcntl(fd, F_DUPFD_CLOEXEC, 3), true);
  stream_open(&process->streams[1], process, 1, fd, true);
  reply(attempt->call, attempt->host, NULL, 0, NULL);
  free(attempt);
}

static socklen_t address_of(struct span ip, uint32_t port, struct sockaddr_storage *address) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  memset(address, 0, sizeof(*address));
  if (ip.size == 4) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    memcpy(&v4->sin_addr, ip.at, 4);
    return sizeof(*v4);
  }
  if (ip.size != 16) return 0;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons((uint16_t)port);
  memcpy(&v6->sin6_addr, ip.at, 16);
  return sizeof(*v6);
}

void call_connect(uint32_t call, struct span body) {
  struct connect_call {
    uint32_t handle, port;
    struct span ip;
  } wanted;
  const struct rule rules[] = {RULE(connect_call, 1, RULE_U32, handle), RULE(connect_call, 2, RULE_SPAN, ip),
                               RULE(connect_call, 3, RULE_U32, port)};
  struct failure failure = {0};
  struct sockaddr_storage address;
  socklen_t size = 0;
  if (READ(body, rules, &wanted) && wanted.port > 0 && wanted.port < 65536)
    size = address_of(wanted.ip, wanted.port, &address);
  struct attempt *attempt = size == 0 ? NULL : calloc(1, sizeof(*attempt));
  if (attempt == NULL) {
    fail(&failure, EINVAL, "not an address");
    reply(call, host_number, &failure, 0, NULL);
    return;
  }
  *attempt = (struct attempt){{.fd = -1, .ready = connected}, call, host_number, wanted.handle};
  attempt->watch.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (attempt->watch.fd < 0 ||
      (connect(attempt->watch.fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)) {
    fail(&failure, errno, "cannot connect");
    return give_up(attempt, &failure);
  }
  watch_set(&attempt->watch, EPOLLOUT);
}

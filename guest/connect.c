/* TCP connections into the pod, for port-forwarding: no tool is needed in any container. */
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "agent.h"

/* A connection that is being made. */
struct attempt {
  struct watch watch;
  struct call call;
  uint32_t handle;
};

static void connected(struct watch *watch, uint32_t events) {
  struct attempt *attempt = (struct attempt *)watch;
  struct call *call = &attempt->call;
  struct process *process = NULL;
  int number = 0;
  socklen_t size = sizeof(number);
  (void)events;
  getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &number, &size);
  if (number != 0)
    fail(&call->failure, number, "cannot connect");
  else if (call->host == host_number)
    process = process_new(attempt->handle, NULL, &call->failure);
  if (process != NULL) {
    int fd = watch->fd;
    watch_set(watch, 0);
    stream_open(&process->streams[0], process, 0, fcntl(fd, F_DUPFD_CLOEXEC, 3), true);
    stream_open(&process->streams[1], process, 1, fd, true);
  } else {
    watch_close(watch);
  }
  reply(call);
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

enum answer call_connect(struct call *call) {
  struct connect_call {
    uint32_t handle, port;
    struct span ip;
  } wanted;
  const struct rule rules[] = {RULE(connect_call, 1, RULE_U32, handle), RULE(connect_call, 2, RULE_SPAN, ip),
                               RULE(connect_call, 3, RULE_U32, port)};
  struct sockaddr_storage address;
  socklen_t size = 0;
  if (READ(call->body, rules, &wanted) && wanted.port > 0 && wanted.port < 65536)
    size = address_of(wanted.ip, wanted.port, &address);
  struct attempt *attempt = size == 0 ? NULL : calloc(1, sizeof(*attempt));
  if (attempt == NULL) return fail(&call->failure, EINVAL, "not an address");
  *attempt = (struct attempt){{.fd = -1, .ready = connected}, *call, wanted.handle};
  attempt->watch.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (attempt->watch.fd < 0 ||
      (connect(attempt->watch.fd, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)) {
    fail(&call->failure, errno, "cannot connect");
    watch_close(&attempt->watch);
    free(attempt);
    return BY_FAILURE;
  }
  watch_set(&attempt->watch, EPOLLOUT);
  return BY_ITSELF;
}

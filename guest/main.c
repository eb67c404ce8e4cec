/* Begins, and turns events of the kernel into calls. If this process ends, the kernel panics and the VM with it. */
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include "agent.h"

static int poller;
static uint64_t tick_at; /* by now_ms(), when it is time to look again; 0 for never */

uint64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Watches for `events`; for none, not even for a hang-up, it takes the file out of epoll. */
void watch_set(struct watch *watch, uint32_t events) {
  struct epoll_event want = {.events = events, .data.ptr = watch};
  if (watch->fd < 0 || watch->events == events) return;
  int what = events == 0 ? EPOLL_CTL_DEL : watch->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(poller, what, watch->fd, &want) == 0) watch->events = events;
}

void watch_close(struct watch *watch) {
  if (watch->fd < 0) return;
  watch_set(watch, 0);
  close(watch->fd);
  watch->fd = -1;
}

/* Something waits for what only looking again can tell. */
void tick_in(int ms) {
  uint64_t at = now_ms() + (uint64_t)ms;
  if (tick_at == 0 || at < tick_at) tick_at = at;
}

static void on_signal(struct watch *watch, uint32_t events) {
  struct signalfd_siginfo info;
  (void)events;
  while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) continue;
  reap();
}

static struct watch signals = {.fd = -1, .ready = on_signal};

static void open_signals(void) {
  sigset_t set;
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  watch_set(&signals, EPOLLIN);
}

/* One event at a time: handling it may close the file of another. */
static void turn(void) {
  struct epoll_event happened;
  if (streams_send()) port_flush();
  uint64_t now = tick_at == 0 ? 0 : now_ms();
  int count = epoll_wait(poller, &happened, 1, tick_at == 0 ? -1 : tick_at > now ? (int)(tick_at - now) : 0);
  if (count < 0 && errno != EINTR) abort();
  if (count == 1) {
    struct watch *watch = happened.data.ptr;
    watch->ready(watch, happened.events);
  }
  if (tick_at == 0 || now_ms() < tick_at) return;
  tick_at = 0;
  streams_tick();
  containers_tick();
  mounts_tick();
  configure_tick();
}

int main(void) {
  set_up_machine();
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) abort();
  open_signals();
  oom_watch_open();
  port_open();
  for (;;) turn();
}

/* What a guest is told of its pod: names, network, sysctls, randomness, the time, a shared PID namespace. */
#include <linux/random.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "agent.h"

#define MAX_ENTROPY 512
#define IDLE_MS 1000
#define PID_NAMESPACE "/run/ns/pid"

/* Adds to the kernel's pool, and makes it use that at once: a clone must not repeat its template. */
static bool seed(struct span bytes, struct failure *failure) {
  struct {
    struct rand_pool_info info;
    uint8_t bytes[MAX_ENTROPY];
  } pool = {0};
  if (bytes.size == 0) return true;
  if (bytes.size > MAX_ENTROPY) return fail(failure, EINVAL, "too much entropy");
  int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  pool.info.entropy_count = (int)bytes.size * 8;
  pool.info.buf_size = (int)bytes.size;
  memcpy(pool.bytes, bytes.at, bytes.size);
  bool fine = fd >= 0 && ioctl(fd, RNDADDENTROPY, &pool) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
  int number = errno;
  if (fd >= 0) close(fd);
  return fine || fail(failure, number, "cannot seed the random source");
}

static bool set_clock(uint64_t time, struct failure *failure) {
  struct timespec now = {.tv_sec = (time_t)(time / 1000000000), .tv_nsec = (long)(time % 1000000000)};
  return time == 0 || clock_settime(CLOCK_REALTIME, &now) == 0 || fail(failure, errno, "cannot set the clock");
}

static bool set_sysctl(struct span entry, struct failure *failure) {
  struct sysctl {
    char name[256], value[1024];
  } wish;
  static const struct rule rules[] = {RULE(sysctl, 1, RULE_TEXT, name), RULE(sysctl, 2, RULE_TEXT, value)};
  char path[MAX_PATH];
  if (!READ(entry, rules, &wish) || strstr(wish.name, "..") != NULL) return fail(failure, EINVAL, "not a sysctl");
  /* With a slash in it, dots are part of names (sysctl (8)). */
  bool dotted = strchr(wish.name, '/') == NULL;
  for (char *at = wish.name; dotted && *at != 0; at++)
    if (*at == '.') *at = '/';
  snprintf(path, sizeof(path), "/proc/sys/%s", wish.name);
  return write_text(path, wish.value) || fail(failure, errno, "cannot set the sysctl %s", wish.name);
}

/* The first process of the shared namespace: does nothing but reap, as a pod's pause container does. */
static void be_first(void) {
  sigset_t set;
  prctl(PR_SET_NAME, "pause");
  for (int fd = 3; fd < 64; fd++) close(fd);
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  for (int number;;) {
    sigwait(&set, &number);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}

static bool share_pids(struct failure *failure) {
  char path[64];
  if (access(PID_NAMESPACE, F_OK) == 0) return true;
  long pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) be_first();
  if (pid < 0) return fail(failure, errno, "cannot make a PID namespace");
  snprintf(path, sizeof(path), "/proc/%ld/ns/pid", pid);
  return (make_parents(PID_NAMESPACE) && write_whole(PID_NAMESPACE, (struct span){NULL, 0}, 0444) &&
          mount(path, PID_NAMESPACE, NULL, MS_BIND, NULL) == 0) ||
         fail(failure, errno, "cannot keep the PID namespace");
}

static uint64_t extra_at; /* when to load what can wait; 0 before the first configuration, then never again */

struct configure {
  char hostname[65], domainname[65], machine_id[64];
  struct list links, routes, sysctls, modules;
  struct span entropy;
  uint64_t time;
  bool shared_pids;
};

static const struct rule configure_rules[] = {
    RULE(configure, 1, RULE_TEXT, hostname),   RULE(configure, 2, RULE_TEXT, domainname),
    RULE(configure, 3, RULE_LIST, links),      RULE(configure, 4, RULE_LIST, routes),
    RULE(configure, 5, RULE_LIST, sysctls),    RULE(configure, 6, RULE_TEXT, machine_id),
    RULE(configure, 7, RULE_SPAN, entropy),    RULE(configure, 8, RULE_U64, time),
    RULE(configure, 9, RULE_BOOL, shared_pids), RULE(configure, 10, RULE_LIST, modules),
};

static bool set_names(const struct configure *wish, struct failure *failure) {
  struct span id = {(const uint8_t *)wish->machine_id, strlen(wish->machine_id)};
  if (wish->hostname[0] != 0 && sethostname(wish->hostname, strlen(wish->hostname)) < 0)
    return fail(failure, errno, "cannot set the host name");
  if (wish->domainname[0] != 0 && setdomainname(wish->domainname, strlen(wish->domainname)) < 0)
    return fail(failure, errno, "cannot set the domain name");
  return id.size == 0 || write_whole("/etc/machine-id", id, 0444) || fail(failure, errno, "cannot set the machine id");
}

static bool load_group(struct span name, struct failure *failure) {
  char group[32];
  snprintf(group, sizeof(group), "%.*s", (int)name.size, (const char *)name.at);
  return load_modules(group, failure);
}

enum answer call_configure(struct call *call) {
  static struct configure wish;
  struct failure *failure = &call->failure;
  bool fine = READ(call->body, configure_rules, &wish) || fail(failure, EINVAL, "not a configuration");
  fine = fine && seed(wish.entropy, failure) && set_clock(wish.time, failure) && set_names(&wish, failure) &&
         (wish.links.count + wish.routes.count == 0 || configure_network(&wish.links, &wish.routes, failure));
  for (size_t i = 0; fine && i < wish.sysctls.count; i++) fine = set_sysctl(wish.sysctls.items[i], failure);
  for (size_t i = 0; fine && i < wish.modules.count; i++) fine = load_group(wish.modules.items[i], failure);
  if (fine && wish.shared_pids) share_pids(failure);
  if (extra_at == 0) {
    extra_at = now_ms() + IDLE_MS;
    tick_in(IDLE_MS);
  }
  return BY_FAILURE;
}

/* Devices that a VM may have or not, and that nobody waits for: once there is nothing else to do. */
void configure_tick(void) {
  struct failure ignored;
  uint64_t now = now_ms();
  if (extra_at == 0 || extra_at == UINT64_MAX) return;
  if (now < extra_at || children_run()) return tick_in(now < extra_at ? (int)(extra_at - now) : IDLE_MS);
  extra_at = UINT64_MAX;
  load_modules("extra", &ignored);
}

enum answer call_clock(struct call *call) {
  struct clock_call {
    uint64_t time;
    struct span entropy;
  } wish;
  static const struct rule rules[] = {RULE(clock_call, 1, RULE_U64, time), RULE(clock_call, 2, RULE_SPAN, entropy)};
  if (!READ(call->body, rules, &wish)) return fail(&call->failure, EINVAL, "not a time");
  if (seed(wish.entropy, &call->failure)) set_clock(wish.time, &call->failure);
  return BY_FAILURE;
}

/* A container's life: creating -> created -> running <-> paused -> stopped; delete leads out of every state but the first. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent.h"

#define BUNDLES "/run/skiff/bundles"
#define FREEZE_MS 5000
#define DELETE_MS 25000
#define LOOK_MS 2
#define FIFO_TRIES 100

struct container *containers;

struct container *container_find(const char *id) {
  for (struct container *each = containers; each != NULL; each = each->next)
    if (strcmp(each->id, id) == 0) return each;
  return NULL;
}

void container_put(struct buffer *out, const struct container *container) {
  put_text(out, 1, container->id);
  put_number(out, 2, container->status);
  if (container->main != NULL) {
    put_number(out, 3, (uint64_t)container->main->pid);
    put_number(out, 4, container->main->handle);
  }
  put_number(out, 5, container->oom_kills);
}

static void refuse(uint32_t call, const struct failure *failure) { reply(call, host_number, failure, 0, NULL); }

static void reply_process(const struct child *child) {
  struct buffer body = {.limit = MAX_PAYLOAD};
  process_put(&body, child->process);
  reply(child->call, child->host, NULL, 7, &body);
  buffer_free(&body);
}

/* Forgets a container, its processes and its files; its processes in the kernel are gone. */
static void forget(struct container *container) {
  char path[MAX_PATH];
  for (struct process *each = processes, *next; each != NULL; each = next) {
    next = each->next;
    if (each->container == container) process_free(each);
  }
  snprintf(path, sizeof(path), "/run/crun/%s", container->id);
  remove_tree(path);
  snprintf(path, sizeof(path), BUNDLES "/%s", container->id);
  remove_tree(path);
  for (struct container **each = &containers; *each != NULL; each = &(*each)->next) {
    if (*each != container) continue;
    *each = container->next;
    break;
  }
  free(container);
}

/* crun has no numbers for its failures, but it repeats the kernel's words. */
static int errno_of(const char *text) {
  if (strstr(text, "not found") != NULL || strstr(text, strerror(ENOENT)) != NULL) return ENOENT;
  if (strstr(text, strerror(EACCES)) != NULL) return EACCES;
  if (strstr(text, strerror(EINVAL)) != NULL) return EINVAL;
  return EIO;
}

void crun_failed(const struct child *child, int status, const char *text) {
  struct failure failure = {.number = errno_of(text)};
  if (text[0] != 0)
    snprintf(failure.text, sizeof(failure.text), "%s", text);
  else
    snprintf(failure.text, sizeof(failure.text), "the runtime in the guest ended with status 0x%x", status);
  reply(child->call, child->host, &failure, 0, NULL);
}

/* After crun has started a process: finds out which, and opens its terminal. */
static bool take_process(struct child *child, const char **problem) {
  char path[MAX_PATH];
  struct process *process = child->process;
  snprintf(path, sizeof(path), "/run/skiff/%s.pid", child->name);
  pid_t pid = pid_from_file(path);
  int terminal = process->terminal ? console_take(child) : -1;
  if (terminal >= 0) {
    stream_open(&process->streams[0], process, 0, fcntl(terminal, F_DUPFD_CLOEXEC, 3), false);
    stream_open(&process->streams[1], process, 1, terminal, false);
    stream_open(&process->streams[2], process, 2, -1, false);
  }
  *problem = "the runtime in the guest did not say which process it started";
  if (pid <= 0) return false;
  /* It may have ended already: then its output is read now. */
  process_learn(process, pid);
  *problem = "the runtime in the guest sent no terminal";
  return !process->terminal || terminal >= 0;
}

static void created(struct child *child, int status, const char *text) {
  const char *problem = text;
  struct container *container = child->process->container;
  bool fine = status == 0 && take_process(child, &problem);
  if (!fine) {
    if (child->process->pid > 0 && !child->process->exited) kill(child->process->pid, SIGKILL);
    crun_failed(child, status, problem);
    forget(container);
    return;
  }
  if (!child->process->exited) {
    container->status = CREATED;
    cgroup_learn(container);
  }
  reply_process(child);
}

struct start {
  char id[MAX_ID];
  uint32_t handle, columns, rows;
  struct span json, program; /* for crun, or launch */
  bool terminal, no_input;
};

static const struct rule start_rules[] = {
    RULE(start, 1, RULE_TEXT, id),       RULE(start, 2, RULE_U32, handle),  RULE(start, 3, RULE_SPAN, json),
    RULE(start, 4, RULE_BOOL, terminal), RULE(start, 5, RULE_U32, columns), RULE(start, 6, RULE_U32, rows),
    RULE(start, 7, RULE_BOOL, no_input), RULE(start, 8, RULE_SPAN, program),
};

static struct container *container_new(const char *id, struct failure *failure) {
  size_t count = 0;
  for (struct container *each = containers; each != NULL; each = each->next) count++;
  struct container *container = count < MAX_CONTAINERS ? calloc(1, sizeof(*container)) : NULL;
  if (container == NULL) {
    fail(failure, ENOMEM, "too many containers");
    return NULL;
  }
  snprintf(container->id, sizeof(container->id), "%s", id);
  container->status = CREATING;
  container->oom_watch = -1;
  container->next = containers;
  containers = container;
  return container;
}

/* Starts crun or launch for a new process; `first` are its arguments before the id. */
static bool run_crun(struct child *child, const struct start *start, const char *const *first, struct failure *failure) {
  char pid_file[MAX_PATH], console[MAX_PATH];
  const char *arguments[16];
  struct stdio stdio;
  size_t count = 0;
  for (; first[count] != NULL; count++) arguments[count] = first[count];
  snprintf(pid_file, sizeof(pid_file), "--pid-file=/run/skiff/%s.pid", child->name);
  arguments[count++] = pid_file;
  if (start->terminal) {
    if (console_listen(child, console, sizeof(console), failure) < 0) return false;
    arguments[count++] = "--console-socket";
    arguments[count++] = console;
  }
  arguments[count++] = start->id;
  arguments[count] = NULL;
  if (!stdio_open(child->process, start->terminal, start->no_input, &stdio, failure)) return false;
  const char *program = child->process->container->launched ? LAUNCH : CRUN;
  bool fine = child_start(child, program, &stdio, arguments, failure);
  stdio_close(&stdio);
  return fine;
}

static bool begin_create(uint32_t call, const struct start *start, struct container *container, struct failure *failure) {
  char bundle[MAX_PATH], config[MAX_PATH + 16];
  struct process *process = process_new(start->handle, container, failure);
  if (process == NULL) return false;
  container->main = process;
  snprintf(bundle, sizeof(bundle), BUNDLES "/%s", start->id);
  container->launched = start->program.size > 0;
  snprintf(config, sizeof(config), "%s/%s", bundle, container->launched ? "program" : "config.json");
  if (!make_directories(bundle) || !write_whole(config, container->launched ? start->program : start->json, 0600))
    return fail(failure, errno, "cannot keep the configuration");
  struct child *child = child_new(call, start->id, process, "create");
  if (child == NULL) return fail(failure, EBUSY, "too many calls at once");
  child->done = created;
  const char *const first[] = {"create", "--bundle", bundle, NULL};
  if (run_crun(child, start, first, failure)) return true;
  child_free(child);
  return false;
}

void call_create(uint32_t call, struct span body) {
  struct start start;
  struct failure failure = {0};
  if (!READ(body, start_rules, &start) || !id_is_sound(start.id)) {
    fail(&failure, EINVAL, "not a container that can be created");
    return refuse(call, &failure);
  }
  if (container_find(start.id) != NULL) {
    fail(&failure, EEXIST, "container %s", start.id);
    return refuse(call, &failure);
  }
  struct container *container = container_new(start.id, &failure);
  if (container != NULL && begin_create(call, &start, container, &failure)) return;
  refuse(call, &failure);
  if (container != NULL) forget(container);
}

static void executed(struct child *child, int status, const char *text) {
  char path[MAX_PATH];
  const char *problem = text;
  snprintf(path, sizeof(path), "/run/skiff/%s.json", child->name);
  unlink(path);
  if (status == 0 && take_process(child, &problem)) return reply_process(child);
  if (child->process->pid > 0 && !child->process->exited) kill(child->process->pid, SIGKILL);
  crun_failed(child, status, problem);
  process_free(child->process);
}

static bool begin_exec(uint32_t call, const struct start *start, struct container *container, struct failure *failure) {
  char path[MAX_PATH], init[32];
  struct process *process = process_new(start->handle, container, failure);
  if (process == NULL) return false;
  struct child *child = child_new(call, start->id, process, "exec");
  bool fine = child != NULL || fail(failure, EBUSY, "too many calls at once");
  if (fine) {
    child->done = executed;
    snprintf(path, sizeof(path), "/run/skiff/%s.json", child->name);
    snprintf(init, sizeof(init), "--init=%d", container->main->pid);
    const char *const first[] = {"exec", "--detach", "--process", path, container->launched ? init : NULL, NULL};
    struct span text = container->launched ? start->program : start->json;
    fine = write_whole(path, text, 0600) || fail(failure, errno, "cannot keep the process");
    fine = fine && run_crun(child, start, first, failure);
  }
  if (fine) return true;
  child_free(child);
  process_free(process);
  return false;
}

void call_exec(uint32_t call, struct span body) {
  struct start start;
  struct failure failure = {0};
  struct container *container = NULL;
  if (!READ(body, start_rules, &start))
    fail(&failure, EINVAL, "not a process that can be run");
  else if ((container = container_find(start.id)) == NULL)
    fail(&failure, ENOENT, "container %s", start.id);
  else if (container->status != RUNNING || container->wait == WAIT_GONE)
    fail(&failure, EBUSY, "container %s does not run", start.id);
  else if (begin_exec(call, &start, container, &failure))
    return;
  refuse(call, &failure);
}

bool container_named(uint32_t call, struct span body, struct container **container) {
  struct named {
    char id[MAX_ID];
  } named;
  const struct rule rules[] = {RULE(named, 1, RULE_TEXT, id)};
  struct failure failure = {0};
  *container = READ(body, rules, &named) ? container_find(named.id) : NULL;
  if (*container != NULL) return true;
  fail(&failure, ENOENT, "container %s", named.id);
  refuse(call, &failure);
  return false;
}

/* What `crun start` does: a byte into the FIFO that the created process reads. */
static bool pass_fifo(const struct container *container) {
  char path[MAX_PATH];
  snprintf(path, sizeof(path), "/run/crun/%s/exec.fifo", container->id);
  for (int i = 0; i < FIFO_TRIES; i++) {
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno != ENXIO) return false;
    bool passed = fd >= 0 && write(fd, "", 1) == 1;
    if (fd >= 0) close(fd);
    if (passed) return unlink(path) == 0;
    usleep(1000);
  }
  errno = ETIMEDOUT;
  return false;
}

void call_start(uint32_t call, struct span body) {
  struct container *container;
  struct failure failure = {0};
  if (!container_named(call, body, &container)) return;
  if (container->status != CREATED)
    fail(&failure, EBUSY, "container %s is not waiting to be started", container->id);
  else if (!pass_fifo(container))
    fail(&failure, errno, "cannot start container %s", container->id);
  else
    container->status = RUNNING;
  reply(call, host_number, &failure, 0, NULL);
}

static void wait_for(uint32_t call, struct container *container, enum container_wait wait, uint64_t ms) {
  container->wait = wait;
  container->wait_call = call;
  container->wait_host = host_number;
  container->wait_until = now_ms() + ms;
  tick_in(LOOK_MS);
}

static void kill_all(struct container *container) {
  struct process *main = container->main;
  if (container->cgroup[0] != 0) cgroup_write(container, "cgroup.kill", "1");
  if (main != NULL && main->pid > 0 && !main->exited) kill(main->pid, SIGKILL);
}

void call_delete(uint32_t call, struct span body) {
  struct container *container;
  struct failure failure = {0};
  if (!container_named(call, body, &container)) return;
  if (container->status == CREATING || container->wait != WAIT_NONE) {
    fail(&failure, EBUSY, "container %s is being changed", container->id);
    return refuse(call, &failure);
  }
  kill_all(container);
  wait_for(call, container, WAIT_GONE, DELETE_MS);
}

static void freeze(uint32_t call, struct span body, bool frozen) {
  struct container *container;
  struct failure failure = {0};
  if (!container_named(call, body, &container)) return;
  if (container->status != (frozen ? RUNNING : PAUSED) || container->wait != WAIT_NONE)
    fail(&failure, EBUSY, "container %s %s", container->id, frozen ? "does not run" : "is not paused");
  else if (!cgroup_write(container, "cgroup.freeze", frozen ? "1" : "0"))
    fail(&failure, errno, "cannot freeze container %s", container->id);
  else
    return wait_for(call, container, frozen ? WAIT_FROZEN : WAIT_THAWED, FREEZE_MS);
  refuse(call, &failure);
}

void call_pause(uint32_t call, struct span body) { freeze(call, body, true); }
void call_resume(uint32_t call, struct span body) { freeze(call, body, false); }

static bool is_reached(const struct container *container) {
  const struct process *main = container->main;
  if (container->wait == WAIT_FROZEN) return cgroup_event_is(container, "frozen", '1');
  if (container->wait == WAIT_THAWED) return cgroup_event_is(container, "frozen", '0');
  if (children_work_on(container->id) || (main != NULL && main->pid > 0 && !main->exited)) return false;
  return container->cgroup[0] == 0 || cgroup_remove(container->cgroup);
}

static void look(struct container *container) {
  struct failure failure = {0};
  enum container_wait wait = container->wait;
  uint32_t call = container->wait_call, host = container->wait_host;
  bool reached = is_reached(container);
  if (!reached && now_ms() < container->wait_until) {
    if (wait == WAIT_GONE) kill_all(container);
    tick_in(LOOK_MS);
    return;
  }
  container->wait = WAIT_NONE;
  if (!reached)
    fail(&failure, EBUSY, "processes of container %s do not react", container->id);
  else if (wait == WAIT_GONE)
    forget(container);
  else if (container->status != STOPPED)
    container->status = wait == WAIT_FROZEN ? PAUSED : RUNNING;
  reply(call, host, &failure, 0, NULL);
}

void containers_tick(void) {
  for (struct container *each = containers, *next; each != NULL; each = next) {
    next = each->next;
    if (each->wait != WAIT_NONE) look(each);
  }
}

void containers_kill(void) {
  for (struct container *each = containers; each != NULL; each = each->next) kill_all(each);
}

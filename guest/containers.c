/* A container's life: creating -> created -> running <-> paused -> stopped; delete leads out of every state but the first. */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static void crun_failed(struct child *child, int status, const char *text) {
  struct failure *failure = &child->call.failure;
  failure->number = errno_of(text);
  if (text[0] != 0)
    snprintf(failure->text, sizeof(failure->text), "%s", text);
  else
    snprintf(failure->text, sizeof(failure->text), "the runtime in the guest ended with status 0x%x", status);
  reply(&child->call);
}

/* After crun has started a process: finds out which, and opens its terminal. */
static bool take_process(struct child *child, const char **problem) {
  struct process *process = child->process;
  pid_t pid = child_pid(child);
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

/* crun has ended: the process of a new container, or one more in an old one, is there or is not. */
static void started(struct child *child, int status, const char *text) {
  const char *problem = text;
  struct process *process = child->process;
  struct container *container = process->container;
  struct buffer body = {.limit = MAX_PAYLOAD};
  bool creates = container->main == process;
  if (status != 0 || !take_process(child, &problem)) {
    if (process->pid > 0 && !process->exited) kill(process->pid, SIGKILL);
    crun_failed(child, status, problem);
    if (creates) forget(container);
    else process_free(process);
    return;
  }
  if (creates && !process->exited) {
    container->status = CREATED;
    cgroup_learn(container);
  }
  process_put(&body, process);
  reply_with(&child->call, 7, &body);
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
  size_t count = 0;
  for (; first[count] != NULL; count++) arguments[count] = first[count];
  snprintf(pid_file, sizeof(pid_file), "--pid-file=/run/skiff/%s.pid", child->name);
  arguments[count++] = pid_file;
  child->process->terminal = start->terminal;
  if (start->terminal) {
    if (console_listen(child, console, sizeof(console), failure) < 0) return false;
    arguments[count++] = "--console-socket";
    arguments[count++] = console;
  }
  arguments[count++] = start->id;
  arguments[count] = NULL;
  return child_start(child, child->process->container->launched ? LAUNCH : CRUN, arguments, start->no_input, failure);
}

/* Has the process of a new container started, or one more in an old one; what goes wrong, the caller undoes. */
static bool begin(struct call *call, const struct start *start, struct container *container, struct process *process) {
  char bundle[MAX_PATH], file[MAX_PATH + 16], init[32];
  bool creates = container->status == CREATING;
  struct child *child = child_new(call, start->id, process, creates ? "create" : "exec");
  if (child == NULL) return fail(&call->failure, EBUSY, "too many calls at once");
  child->done = started;
  snprintf(bundle, sizeof(bundle), BUNDLES "/%s", start->id);
  snprintf(init, sizeof(init), "--init=%d", creates ? 0 : container->main->pid);
  if (creates)
    snprintf(file, sizeof(file), "%s/%s", bundle, container->launched ? "program" : "config.json");
  else
    child_file(child, "json", file, sizeof(file));
  const char *const create[] = {"create", "--bundle", bundle, NULL};
  const char *const exec[] = {"exec", "--detach", "--process", file, container->launched ? init : NULL, NULL};
  bool kept = (!creates || make_directories(bundle)) &&
              write_whole(file, container->launched ? start->program : start->json, 0600);
  if (!kept) fail(&call->failure, errno, "cannot keep what is to be started");
  if (kept && run_crun(child, start, creates ? create : exec, &call->failure)) return true;
  child_free(child);
  return false;
}

enum answer call_create(struct call *call) {
  struct start start;
  if (!READ(call->body, start_rules, &start) || !id_is_sound(start.id))
    return fail(&call->failure, EINVAL, "not a container that can be created");
  if (container_find(start.id) != NULL) return fail(&call->failure, EEXIST, "container %s", start.id);
  struct container *container = container_new(start.id, &call->failure);
  if (container == NULL) return BY_FAILURE;
  container->launched = start.program.size > 0;
  container->main = process_new(start.handle, container, &call->failure);
  if (container->main != NULL && begin(call, &start, container, container->main)) return BY_ITSELF;
  forget(container);
  return BY_FAILURE;
}

enum answer call_exec(struct call *call) {
  struct start start;
  if (!READ(call->body, start_rules, &start)) return fail(&call->failure, EINVAL, "not a process that can be run");
  struct container *container = container_find(start.id);
  if (container == NULL) return fail(&call->failure, ENOENT, "container %s", start.id);
  if (container->status != RUNNING || container->wait == WAIT_GONE)
    return fail(&call->failure, EBUSY, "container %s does not run", start.id);
  struct process *process = process_new(start.handle, container, &call->failure);
  if (process == NULL) return BY_FAILURE;
  if (begin(call, &start, container, process)) return BY_ITSELF;
  process_free(process);
  return BY_FAILURE;
}

/* The container that a call names; NULL, with the failure, if there is none. */
struct container *container_named(struct call *call) {
  struct named {
    char id[MAX_ID];
  } named;
  const struct rule rules[] = {RULE(named, 1, RULE_TEXT, id)};
  struct container *container = READ(call->body, rules, &named) ? container_find(named.id) : NULL;
  if (container == NULL) fail(&call->failure, ENOENT, "container %s", named.id);
  return container;
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

enum answer call_start(struct call *call) {
  struct container *container = container_named(call);
  if (container == NULL) return BY_FAILURE;
  if (container->status != CREATED)
    return fail(&call->failure, EBUSY, "container %s is not waiting to be started", container->id);
  if (!pass_fifo(container)) return fail(&call->failure, errno, "cannot start container %s", container->id);
  container->status = RUNNING;
  return BY_FAILURE;
}

static enum answer wait_for(const struct call *call, struct container *container, enum container_wait wait, uint64_t ms) {
  container->wait = wait;
  container->wait_call = *call;
  container->wait_until = now_ms() + ms;
  tick_in(LOOK_MS);
  return BY_ITSELF;
}

static void kill_all(struct container *container) {
  struct process *main = container->main;
  if (container->cgroup[0] != 0) cgroup_write(container, "cgroup.kill", "1");
  if (main != NULL && main->pid > 0 && !main->exited) kill(main->pid, SIGKILL);
}

enum answer call_delete(struct call *call) {
  struct container *container = container_named(call);
  if (container == NULL) return BY_FAILURE;
  if (container->status == CREATING || container->wait != WAIT_NONE)
    return fail(&call->failure, EBUSY, "container %s is being changed", container->id);
  kill_all(container);
  return wait_for(call, container, WAIT_GONE, DELETE_MS);
}

static enum answer freeze(struct call *call, bool frozen) {
  struct container *container = container_named(call);
  if (container == NULL) return BY_FAILURE;
  if (container->status != (frozen ? RUNNING : PAUSED) || container->wait != WAIT_NONE)
    return fail(&call->failure, EBUSY, "container %s %s", container->id, frozen ? "does not run" : "is not paused");
  if (!cgroup_write(container, "cgroup.freeze", frozen ? "1" : "0"))
    return fail(&call->failure, errno, "cannot freeze container %s", container->id);
  return wait_for(call, container, frozen ? WAIT_FROZEN : WAIT_THAWED, FREEZE_MS);
}

enum answer call_pause(struct call *call) { return freeze(call, true); }
enum answer call_resume(struct call *call) { return freeze(call, false); }

static bool is_reached(const struct container *container) {
  const struct process *main = container->main;
  if (container->wait == WAIT_FROZEN) return cgroup_event_is(container, "frozen", '1');
  if (container->wait == WAIT_THAWED) return cgroup_event_is(container, "frozen", '0');
  if (children_work_on(container->id) || (main != NULL && main->pid > 0 && !main->exited)) return false;
  return container->cgroup[0] == 0 || cgroup_remove(container->cgroup);
}

static void look(struct container *container) {
  enum container_wait wait = container->wait;
  struct call call = container->wait_call;
  bool reached = is_reached(container);
  if (!reached && now_ms() < container->wait_until) {
    if (wait == WAIT_GONE) kill_all(container);
    tick_in(LOOK_MS);
    return;
  }
  container->wait = WAIT_NONE;
  if (!reached)
    fail(&call.failure, EBUSY, "processes of container %s do not react", container->id);
  else if (wait == WAIT_GONE)
    forget(container);
  else if (container->status != STOPPED)
    container->status = wait == WAIT_FROZEN ? PAUSED : RUNNING;
  reply(&call);
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

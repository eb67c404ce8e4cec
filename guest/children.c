/* crun, run as a child, and what it says. */
#include <signal.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "agent.h"

#define PIPE_BYTES (256 * 1024)
#define MAX_CHILDREN 128
#define MAX_ARGUMENTS 24
#define TEXT_ROOM 400

static struct child *children;
static unsigned serial;

bool children_run(void) { return children != NULL; }

/* Whether crun works on the container: what it will tell of must not be forgotten before. */
bool children_work_on(const char *id) {
  for (struct child *each = children; each != NULL; each = each->next)
    if (strcmp(each->id, id) == 0) return true;
  return false;
}

static void close_all(int *theirs) {
  for (int i = 0; i < 3; i++)
    if (theirs[i] >= 0) close(theirs[i]);
}

/* Makes the three ends that a process gets, and opens the streams of ours. A terminal's come later. */
static bool open_all(struct process *process, bool no_input, int *theirs) {
  for (int i = 0; i < 3; i++) {
    int ends[2];
    if (process->terminal || (i == 0 && no_input)) {
      theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
      if (!process->terminal) stream_open(&process->streams[i], process, i, -1, false);
      continue;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    if (i > 0) fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
    theirs[i] = ends[i == 0 ? 0 : 1];
    stream_open(&process->streams[i], process, i, ends[i == 0 ? 1 : 0], false);
  }
  return true;
}

struct child *child_new(const struct call *call, const char *id, struct process *process, const char *name) {
  size_t count = 0;
  for (struct child *each = children; each != NULL; each = each->next) count++;
  struct child *child = count < MAX_CHILDREN ? calloc(1, sizeof(*child)) : NULL;
  if (child == NULL) return NULL;
  child->call = *call;
  child->process = process;
  child->console = -1;
  snprintf(child->id, sizeof(child->id), "%s", id);
  snprintf(child->name, sizeof(child->name), "%s-%u", name, serial++);
  return child;
}

/* The path of a file that crun and this process have in common: log, pid, json or sock. */
void child_file(const struct child *child, const char *kind, char *path, size_t size) {
  snprintf(path, size, "/run/skiff/%s.%s", child->name, kind);
}

void child_free(struct child *child) {
  static const char *const kinds[] = {"log", "pid", "json", "sock"};
  char path[MAX_PATH];
  for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
    child_file(child, kinds[i], path, sizeof(path));
    unlink(path);
  }
  if (child->console >= 0) close(child->console);
  free(child);
}

static void become(char *const *arguments, const int *theirs) {
  sigset_t none;
  for (int i = 0; i < 3; i++)
    if (dup2(theirs[i], i) < 0) _exit(126);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  /*
   * An emulating hypervisor keeps what it translated by address: at the same one, crun's code is translated once only,
   * which halves its time. The host asks crun to give the container's processes their random addresses back.
   */
  personality(ADDR_NO_RANDOMIZE);
  execv(arguments[0], arguments);
  _exit(127);
}

/* Starts crun, or launch in its place, with `arguments` after the common ones. If this fails the caller frees the child. */
bool child_start(struct child *child, const char *program, const char *const *arguments, bool no_input,
                 struct failure *failure) {
  char log[MAX_PATH];
  char *all[MAX_ARGUMENTS] = {(char *)program, "--root=/run/crun", "--cgroup-manager=cgroupfs", "--log-format=text", log};
  int theirs[3] = {-1, -1, -1};
  snprintf(log, sizeof(log), "--log=/run/skiff/%s.log", child->name);
  for (size_t count = 5; *arguments != NULL && count + 1 < MAX_ARGUMENTS; count++) all[count] = (char *)*arguments++;
  child->pid = open_all(child->process, no_input, theirs) ? fork() : -1;
  if (child->pid == 0) become(all, theirs);
  if (child->pid < 0) fail(failure, errno, "cannot start %s", program);
  close_all(theirs);
  if (child->pid < 0) return false;
  child->next = children;
  children = child;
  return true;
}

/* The last line that crun wrote, without the time before it. */
static void read_log(const struct child *child, char *text, size_t room) {
  char path[MAX_PATH], all[4096];
  child_file(child, "log", path, sizeof(path));
  ssize_t size = read_file(path, all, sizeof(all));
  while (size > 0 && all[size - 1] == '\n') all[--size] = 0;
  const char *last = strrchr(all, '\n');
  last = last == NULL ? all : last + 1;
  const char *words = strstr(last, "Z: ");
  snprintf(text, room, "%s", words == NULL ? last : words + 3);
}

bool child_ended(pid_t pid, int status) {
  char text[TEXT_ROOM];
  for (struct child **each = &children; *each != NULL; each = &(*each)->next) {
    struct child *child = *each;
    if (child->pid != pid) continue;
    read_log(child, text, sizeof(text));
    child->done(child, status, text);
    /* Only now: ends that came meanwhile could be of its process. */
    *each = child->next;
    child_free(child);
    return true;
  }
  return false;
}

/* A socket that crun sends a terminal by. */
int console_listen(struct child *child, char *path, size_t size, struct failure *failure) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  child_file(child, "sock", path, size);
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
    fail(failure, errno, "cannot listen for a terminal");
    if (fd >= 0) close(fd);
    return -1;
  }
  child->console = fd;
  return fd;
}

/* The terminal that was sent, or -1. crun has ended: it is there or never comes. */
int console_take(struct child *child) {
  char bytes[256];
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {bytes, sizeof(bytes)};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
  int terminal = -1;
  int fd = accept4(child->console, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return -1;
  ssize_t size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = size < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (header != NULL && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
    memcpy(&terminal, CMSG_DATA(header), sizeof(int));
  close(fd);
  return terminal;
}

/* The process that crun says it started; 0 if it says none. */
pid_t child_pid(const struct child *child) {
  char path[MAX_PATH], text[32];
  child_file(child, "pid", path, sizeof(path));
  ssize_t size = read_file(path, text, sizeof(text));
  return size <= 0 ? 0 : (pid_t)strtol(text, NULL, 10);
}

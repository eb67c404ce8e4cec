/* Arguments, the new process, and what became of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "launch.h"

#define CONTAINERS "/run/crun"

/* Where failures are told: PID 1's file, and of the new process a pipe to its parent. */
static int listener = STDERR_FILENO;

void stop(int number, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  if (number != 0 && size >= 0 && size < (int)sizeof(text))
    snprintf(text + size, sizeof(text) - (size_t)size, ": %s", strerror(number));
  (void)!write(listener, text, strlen(text));
  _exit(number == ENOENT ? 127 : 126);
}

/* Goes on only if it is fine; else says what could not be done, and why. */
void must(bool fine, const char *format, ...) {
  char text[512];
  int number = errno;
  if (fine) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  stop(number, "%s", text);
}

/* All that can fail in a container's start is done: what is left is to be told to go on. */
void tell_ready(void) {
  (void)!write(listener, "", 1);
  close(listener);
  listener = STDERR_FILENO;
}

bool read_code(const char *path, struct code *code) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0) return false;
  uint8_t *at = info.st_size == 0 ? NULL : mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  *code = (struct code){at, at + info.st_size};
  return at != MAP_FAILED;
}

/* What crun takes, as far as it is for us. */
struct wish {
  const char *bundle, *process, *pid_file, *console, *log, *id;
  pid_t init;
};

static bool option(const char *argument, const char *name, const char **value) {
  size_t size = strlen(name);
  if (strncmp(argument, name, size) != 0) return false;
  *value = argument + size;
  return true;
}

static struct wish read_arguments(char **arguments) {
  struct wish wish = {0};
  const char *init = NULL;
  for (; *arguments != NULL; arguments++) {
    if (option(*arguments, "--log=", &wish.log) || option(*arguments, "--pid-file=", &wish.pid_file) ||
        option(*arguments, "--init=", &init))
      continue;
    if (strcmp(*arguments, "--bundle") == 0 && arguments[1] != NULL) wish.bundle = *++arguments;
    else if (strcmp(*arguments, "--process") == 0 && arguments[1] != NULL) wish.process = *++arguments;
    else if (strcmp(*arguments, "--console-socket") == 0 && arguments[1] != NULL) wish.console = *++arguments;
    else if ((*arguments)[0] != '-') wish.id = *arguments;
  }
  if (init != NULL) wish.init = (pid_t)strtol(init, NULL, 10);
  return wish;
}

static int connect_console(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path == NULL) return -1;
  snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "connect to the console");
  return fd;
}

/* The container's state: its FIFO, which PID 1 writes to when the container is to start. */
static void make_state(struct launch *it) {
  char path[MAX_PATH];
  must(mkdir(it->state, 0700) == 0, "make the state of the container");
  snprintf(path, sizeof(path), "%s/exec.fifo", it->state);
  must(mkfifo(path, 0600) == 0, "make the container's FIFO");
  /* Open for both, it is never without a reader, and reading never meets its end. */
  it->fifo = open(path, O_RDWR | O_CLOEXEC);
  must(it->fifo >= 0, "open the container's FIFO");
}

/* The cgroup of a container that has moved its processes into groups below takes none itself: then its first one's. */
static bool take_group_of_init(struct launch *it) {
  char path[MAX_PATH], text[MAX_PATH + 64];
  snprintf(path, sizeof(path), "/proc/%d/cgroup", it->init);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
  if (fd >= 0) close(fd);
  text[size < 0 ? 0 : size] = 0;
  char *at = strstr(text, "0::/");
  if (at == NULL) return false;
  at[strcspn(at, "\n")] = 0;
  snprintf(path, sizeof(path), "/sys/fs/cgroup%.4000s", at + 3);
  close(it->group);
  it->group = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return it->group >= 0;
}

/* Like fork (2), into namespaces and a cgroup. */
static pid_t start_process(struct launch *it) {
  for (bool again = it->init > 0;; again = false) {
    struct clone_args wish = {.flags = it->clone_flags, .exit_signal = SIGCHLD};
    if (it->group >= 0) wish.flags |= CLONE_INTO_CGROUP;
    if (it->group >= 0) wish.cgroup = (uint64_t)it->group;
    long pid = syscall(SYS_clone3, &wish, sizeof(wish));
    if (pid < 0 && again && errno == EBUSY && take_group_of_init(it)) continue;
    must(pid >= 0, "start a process");
    return (pid_t)pid;
  }
}

static void be_process(struct launch *it, int to_parent) {
  listener = to_parent;
  /* Only this program has fixed addresses; and nobody in the container may look into it. */
  personality(PER_LINUX);
  prctl(PR_SET_DUMPABLE, 0);
  setsid();
  run_steps(it);
  stop(0, "the program that starts the container has no end");
}

/* Reads until the new process is ready or has become its program. @returns false with its words if it failed. */
static bool await_process(int from_child, bool creates, char *text, size_t room) {
  size_t size = 0;
  ssize_t part;
  while (size + 1 < room && (part = read(from_child, text + size, room - 1 - size)) > 0) {
    size += (size_t)part;
    if (text[0] == 0) return true;
  }
  text[size] = 0;
  if (size == 0 && creates) snprintf(text, room, "the container's process ended before it was ready");
  return size == 0 && !creates;
}

static void clean_up(const struct launch *it, pid_t pid) {
  char path[MAX_PATH];
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  if (it->init > 0) return;
  if (it->group >= 0) rmdir(it->group_path);
  snprintf(path, sizeof(path), "%s/exec.fifo", it->state);
  unlink(path);
}

int main(int count, char **arguments) {
  static struct launch it;
  char state[MAX_PATH], file[MAX_PATH], text[1024];
  int ends[2];
  struct wish wish = read_arguments(arguments + (count > 0));
  if (wish.log != NULL) listener = open(wish.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (wish.id == NULL || wish.pid_file == NULL) stop(EINVAL, "launch needs the name of a container");
  it = (struct launch){.init = wish.init, .init_fd = -1, .root = -1, .fifo = -1, .group = -1, .state = state};
  snprintf(state, sizeof(state), CONTAINERS "/%s", wish.id);
  snprintf(file, sizeof(file), "%s/program", wish.bundle == NULL ? "" : wish.bundle);
  must(read_code(wish.bundle == NULL ? wish.process : file, &it.code), "read the program that starts the container");
  it.console = connect_console(wish.console);
  if (it.init == 0) make_state(&it);
  run_steps(&it);
  if (!it.cloned) stop(EINVAL, "the program starts nothing");
  must(pipe2(ends, O_CLOEXEC) == 0, "make a pipe");
  pid_t pid = start_process(&it);
  if (pid == 0) be_process(&it, ends[1]);
  close(ends[1]);
  if (!await_process(ends[0], it.init == 0, text, sizeof(text))) {
    clean_up(&it, pid);
    stop(0, "%s", text);
  }
  FILE *out = fopen(wish.pid_file, "we");
  must(out != NULL && fprintf(out, "%d", pid) > 0 && fclose(out) == 0, "tell the process");
  return 0;
}

/* What a process may, and its start. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "launch.h"

#define MAX_GROUPS 65536
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* One of seccomp's filters, as the kernel takes it: linux/filter.h would bring more than is needed. */
struct filter {
  unsigned short count;
  const void *code;
};

/* resource NUMBER SOFT HARD */
void step_resource(struct launch *it) {
  int number = (int)take_number(it);
  struct rlimit limit = {.rlim_cur = take_number(it)};
  limit.rlim_max = take_number(it);
  must(setrlimit(number, &limit) == 0, "set the resource limit %d", number);
}

/* environment TEXTS */
void step_environment(struct launch *it) {
  it->environment = take_texts(it, 1);
  it->room = true;
}

/* home UID: what /etc/passwd says is the user's home, in an environment that has none. */
void step_home(struct launch *it) {
  static char line[MAX_PATH], home[MAX_PATH + 8] = "HOME=/";
  unsigned long uid = take_number(it);
  if (!it->room) stop(EINVAL, "set the home in no environment, or twice");
  FILE *file = fopen("/etc/passwd", "re");
  while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
    char *field[7] = {0}, *rest = line;
    for (int i = 0; i < 7 && rest != NULL; i++) field[i] = strsep(&rest, ":\n");
    if (field[5] == NULL || field[2][0] == 0 || strtoul(field[2], NULL, 10) != uid) continue;
    if (field[5][0] != 0) snprintf(home, sizeof(home), "HOME=%s", field[5]);
    break;
  }
  if (file != NULL) fclose(file);
  size_t count = 0;
  while (it->environment[count] != NULL) count++;
  it->environment[count] = home;
  it->room = false;
}

/* arguments TEXTS */
void step_arguments(struct launch *it) { it->arguments = take_texts(it, 0); }

/* directory PATH */
void step_directory(struct launch *it) {
  const char *path = take_text(it);
  must(chdir(path) == 0, "chdir to `%s`", path);
}

/* user UID GID UMASK COUNT GROUPS: and what of the standard streams is a pipe, is the user's to open again. */
void step_user(struct launch *it) {
  static gid_t groups[MAX_GROUPS];
  struct stat info;
  uid_t uid = (uid_t)take_number(it);
  gid_t gid = (gid_t)take_number(it);
  mode_t mask = (mode_t)take_number(it);
  uint64_t count = take_number(it);
  if (count > MAX_GROUPS) stop(EINVAL, "set %lu groups", (unsigned long)count);
  for (uint64_t i = 0; i < count; i++) groups[i] = (gid_t)take_number(it);
  syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
  for (int i = 0; i < 3; i++)
    if (fstat(i, &info) == 0 && !S_ISCHR(info.st_mode)) (void)!fchown(i, uid, gid);
  umask(mask);
  must(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0, "keep capabilities");
  must(setgroups((size_t)count, groups) == 0, "set the groups");
  must(setresgid(gid, gid, gid) == 0, "set the group %u", gid);
  must(setresuid(uid, uid, uid) == 0, "set the user %u", uid);
}

/* bound MASK: the capabilities that the process can ever have. */
void step_bound(struct launch *it) {
  uint64_t kept = take_number(it);
  for (unsigned long each = 0; each < 64 && prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; each++)
    if ((kept >> each & 1) == 0) must(prctl(PR_CAPBSET_DROP, each, 0, 0, 0) == 0, "drop the capability %lu", each);
}

/* capabilities EFFECTIVE PERMITTED INHERITABLE AMBIENT */
void step_capabilities(struct launch *it) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  uint64_t effective = take_number(it), permitted = take_number(it), inheritable = take_number(it);
  uint64_t ambient = take_number(it);
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++)
    data[i] = (struct __user_cap_data_struct){
        (uint32_t)(effective >> 32 * i), (uint32_t)(permitted >> 32 * i), (uint32_t)(inheritable >> 32 * i)};
  must(syscall(SYS_capset, &header, data) == 0, "set the capabilities");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  /* One that the process could not have anyway is left out, as crun does. */
  for (unsigned long each = 0; each < 64; each++)
    if ((ambient >> each & 1) != 0) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, each, 0, 0);
}

void step_no_new_privileges(struct launch *it) {
  (void)it;
  must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "forbid new privileges");
}

/* filter FLAGS BYTES: which system calls there are. */
void step_filter(struct launch *it) {
  unsigned long flags = take_number(it);
  struct code code = take_bytes(it);
  size_t count = (size_t)(code.end - code.at) / 8;
  if (count > UINT16_MAX) stop(EINVAL, "set a filter of %lu instructions", (unsigned long)count);
  struct filter filter = {(unsigned short)count, code.at};
  must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) == 0, "set the filter of system calls");
}

static const char *path_of(const struct launch *it) {
  for (char **each = it->environment; each != NULL && *each != NULL; each++)
    if (strncmp(*each, "PATH=", 5) == 0) return *each + 5;
  return DEFAULT_PATH;
}

static bool is_program(const char *path) {
  struct stat info;
  if (access(path, X_OK) < 0 || stat(path, &info) < 0) return false;
  if (S_ISREG(info.st_mode)) return true;
  errno = EACCES;
  return false;
}

/* find: the file of the first argument. */
void step_find(struct launch *it) {
  const char *name = it->arguments == NULL || it->arguments[0] == NULL ? "" : it->arguments[0];
  bool forbidden = false;
  if (strchr(name, '/') != NULL) {
    snprintf(it->program, sizeof(it->program), "%s", name);
    return must(is_program(name), "open executable `%s`", name);
  }
  for (const char *at = path_of(it); name[0] != 0; at++) {
    size_t size = strcspn(at, ":");
    snprintf(it->program, sizeof(it->program), "%.*s/%s", (int)(size == 0 ? 1 : size), size == 0 ? "." : at, name);
    if (is_program(it->program)) return;
    forbidden = forbidden || errno == EACCES;
    at += size;
    if (*at == 0) break;
  }
  if (forbidden) stop(EACCES, "open executable `%s`", name);
  stop(ENOENT, "executable file `%s` not found in $PATH", name);
}

/* wait: until the container is to start. */
void step_wait(struct launch *it) {
  char byte;
  tell_ready();
  while (read(it->fifo, &byte, 1) < 0 && errno == EINTR) continue;
}

/* run: becomes the program. */
void step_run(struct launch *it) {
  if (it->arguments == NULL || it->environment == NULL) stop(EINVAL, "run a program without arguments");
  syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
  execve(it->program, it->arguments, it->environment);
  stop(errno, "run `%s`", it->program);
}

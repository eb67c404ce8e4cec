/*
 * What a container sees. Paths are resolved by the kernel as if the container's root were the root already (openat2 (2),
 * RESOLVE_IN_ROOT), so that no symbolic link of an image leads out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "launch.h"

#define MAX_TRIES 200 /* directories that are missing and links to follow on one way: a stack has its end */

enum missing { LEAVE, MAKE_DIRECTORY, MAKE_FILE };

/* A descriptor as a path. */
struct place {
  char path[32];
};

static struct place place_of(int fd) {
  struct place place;
  snprintf(place.path, sizeof(place.path), "/proc/self/fd/%d", fd);
  return place;
}

static int open_plainly(const struct launch *it, const char *path, int flags) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT};
  return (int)syscall(SYS_openat2, it->root, path, &how, sizeof(how));
}

/* Opens a place, and makes it and what leads to it if it is missing. A link to nowhere is followed and its end made. */
static int open_place(const struct launch *it, const char *path, enum missing missing, int tries) {
  char parent[MAX_PATH], target[MAX_PATH], joined[2 * MAX_PATH];
  int fd = open_plainly(it, path, O_PATH);
  if (fd >= 0 || errno != ENOENT || missing == LEAVE) return fd;
  snprintf(parent, sizeof(parent), "%s", path);
  for (size_t size = strlen(parent); size > 1 && parent[size - 1] == '/';) parent[--size] = 0;
  char *slash = strrchr(parent, '/');
  if (slash == NULL || slash[1] == 0) return -1;
  if (tries > MAX_TRIES) {
    errno = ELOOP;
    return -1;
  }
  *slash = 0;
  const char *name = slash + 1;
  int directory = open_place(it, parent[0] == 0 ? "/" : parent, MAKE_DIRECTORY, tries + 1);
  if (directory < 0) return -1;
  int made = missing == MAKE_DIRECTORY ? mkdirat(directory, name, 0755) : mknodat(directory, name, S_IFREG | 0644, 0);
  int number = errno;
  ssize_t size = made == 0 ? 0 : readlinkat(directory, name, target, sizeof(target) - 1);
  close(directory);
  errno = number;
  if (made == 0 || (number == EEXIST && size < 0)) return open_plainly(it, path, O_PATH);
  if (number != EEXIST) return -1;
  target[size] = 0;
  snprintf(joined, sizeof(joined), "%s/%s", target[0] == '/' ? "" : parent, target);
  return open_place(it, joined, missing, tries + 1);
}

static int need_place(const struct launch *it, const char *path, enum missing missing) {
  int fd = open_place(it, path, missing, 0);
  must(fd >= 0, "open `%s` in the container", path);
  return fd;
}

/* What a mount forbids, as flags for mount (2): mounted anew, it must not allow more than before. */
static unsigned long kept_flags(const char *path) {
  struct statvfs info;
  if (statvfs(path, &info) < 0) return 0;
  return ((info.f_flag & ST_NODEV) != 0 ? MS_NODEV : 0) | ((info.f_flag & ST_NOSUID) != 0 ? MS_NOSUID : 0) |
         ((info.f_flag & ST_NOEXEC) != 0 ? MS_NOEXEC : 0) | ((info.f_flag & ST_RDONLY) != 0 ? MS_RDONLY : 0);
}

static void change_mount(const struct launch *it, const char *path, unsigned long flags, unsigned long allowed) {
  int fd = need_place(it, path, LEAVE);
  struct place place = place_of(fd);
  unsigned long all = flags | (kept_flags(place.path) & ~allowed);
  must(mount(NULL, place.path, NULL, MS_REMOUNT | MS_BIND | all, NULL) == 0, "remount `%s`", path);
  close(fd);
}

/* spread FLAGS: how mounts of the guest spread to the container. */
void step_spread(struct launch *it) {
  must(mount(NULL, "/", NULL, take_number(it), NULL) == 0, "set the propagation of mounts");
}

/* root PATH: where the container's root is in the guest. */
void step_root(struct launch *it) {
  const char *path = take_text(it);
  must(mount(path, path, NULL, MS_BIND | MS_REC, NULL) == 0, "bind the root `%s`", path);
  must(mount(NULL, path, NULL, MS_PRIVATE, NULL) == 0, "make the root `%s` private", path);
  it->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  must(it->root >= 0, "open the root `%s`", path);
}

/* mount SOURCE TARGET TYPE FLAGS LATER ALLOWED SPREAD DATA: a bind mount takes LATER by a second call. */
void step_mount(struct launch *it) {
  struct stat info;
  const char *source = take_text(it), *target = take_text(it), *type = take_text(it);
  unsigned long flags = take_number(it), later = take_number(it), allowed = take_number(it), spread = take_number(it);
  const char *data = take_text(it);
  bool file = (flags & MS_BIND) != 0 && stat(source, &info) == 0 && !S_ISDIR(info.st_mode);
  int fd = need_place(it, target, file ? MAKE_FILE : MAKE_DIRECTORY);
  bool fine = mount(source, place_of(fd).path, type[0] == 0 ? NULL : type, flags, data[0] == 0 ? NULL : data) == 0;
  must(fine, "mount `%s` to `%s`", source, target);
  close(fd);
  if (later != 0) change_mount(it, target, later, allowed);
  if (spread == 0) return;
  fd = need_place(it, target, LEAVE);
  must(mount(NULL, place_of(fd).path, NULL, spread, NULL) == 0, "set the propagation of `%s`", target);
  close(fd);
}

/* Opens the directory of a path in the container; what is there under its name is removed. @returns its name. */
static const char *open_parent(const struct launch *it, const char *path, int *directory) {
  char parent[MAX_PATH];
  const char *slash = strrchr(path, '/');
  snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
  *directory = need_place(it, parent[0] == 0 ? "/" : parent, MAKE_DIRECTORY);
  return slash == NULL ? path : slash + 1;
}

/* device PATH MODE MAJOR MINOR UID GID: the mode says the kind too. One that is there stays, with these rights. */
void step_device(struct launch *it) {
  int directory;
  const char *path = take_text(it), *name = open_parent(it, path, &directory);
  mode_t mode = (mode_t)take_number(it);
  unsigned major = (unsigned)take_number(it), minor = (unsigned)take_number(it);
  uid_t uid = (uid_t)take_number(it);
  gid_t gid = (gid_t)take_number(it);
  bool fine = mknodat(directory, name, mode, makedev(major, minor)) == 0 || errno == EEXIST;
  fine = fine && fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW) == 0;
  int fd = fine ? openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
  must(fd >= 0 && chmod(place_of(fd).path, mode & 07777) == 0, "make the device `%s`", path);
  close(fd);
  close(directory);
}

/* link PATH TARGET: one that is there stays. */
void step_link(struct launch *it) {
  int directory;
  const char *path = take_text(it), *name = open_parent(it, path, &directory);
  must(symlinkat(take_text(it), directory, name) == 0 || errno == EEXIST, "make the link `%s`", path);
  close(directory);
}

/* make PATH: a directory. That it cannot be made is told by whatever needs it. */
void step_make(struct launch *it) {
  int fd = open_place(it, take_text(it), MAKE_DIRECTORY, 0);
  if (fd >= 0) close(fd);
}

/* mask PATH: nothing of it can be seen. */
void step_mask(struct launch *it) {
  struct stat info;
  const char *path = take_text(it);
  int fd = open_plainly(it, path, O_PATH);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) return;
  must(fd >= 0 && fstat(fd, &info) == 0, "open `%s` in the container", path);
  struct place place = place_of(fd);
  bool fine = S_ISDIR(info.st_mode) ? mount("tmpfs", place.path, "tmpfs", MS_RDONLY, "size=0k") == 0
                                    : mount("/dev/null", place.path, NULL, MS_BIND, NULL) == 0;
  must(fine, "mask `%s`", path);
  close(fd);
}

/* protect PATH: it can be read only. */
void step_protect(struct launch *it) {
  const char *path = take_text(it);
  int fd = open_plainly(it, path, O_PATH);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES)) return;
  must(fd >= 0, "open `%s` in the container", path);
  struct place place = place_of(fd);
  must(mount(place.path, place.path, NULL, MS_BIND | MS_REC, NULL) == 0, "bind `%s`", path);
  close(fd);
  change_mount(it, path, MS_RDONLY, 0);
}

static void send_terminal(const struct launch *it, int terminal) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec part = {(char *)"terminal", 8};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
  control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), &terminal, sizeof(int));
  must(sendmsg(it->console, &message, 0) >= 0, "send the terminal");
}

/* terminal ROWS COLUMNS UID CONSOLE: of the container's own devpts; with CONSOLE it is /dev/console as well. */
void step_terminal(struct launch *it) {
  struct winsize size = {.ws_row = (unsigned short)take_number(it)};
  size.ws_col = (unsigned short)take_number(it);
  uid_t uid = (uid_t)take_number(it);
  bool console = take_number(it) != 0;
  struct stat info;
  int unlocked = 0, terminal = open_plainly(it, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  must(terminal >= 0 && fstat(terminal, &info) == 0, "open /dev/pts/ptmx in the container");
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(5, 2)) stop(ENODEV, "open /dev/pts/ptmx in the container");
  must(ioctl(terminal, TIOCSPTLCK, &unlocked) == 0, "unlock the terminal");
  int end = ioctl(terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  must(end >= 0 && fchown(end, uid, (gid_t)-1) == 0, "open the terminal");
  if (size.ws_row > 0 || size.ws_col > 0) ioctl(terminal, TIOCSWINSZ, &size);
  if (console) {
    int fd = need_place(it, "/dev/console", MAKE_FILE);
    must(mount(place_of(end).path, place_of(fd).path, NULL, MS_BIND, NULL) == 0, "mount the terminal to /dev/console");
    close(fd);
  }
  send_terminal(it, terminal);
  must(ioctl(end, TIOCSCTTY, 0) == 0, "take the terminal");
  for (int i = 0; i < 3; i++) must(dup2(end, i) == i, "take the terminal");
}

/* pivot: the container's root becomes the root, and the guest's is gone from sight. */
void step_pivot(struct launch *it) {
  int root = openat(it->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(root >= 0 && fchdir(root) == 0 && syscall(SYS_pivot_root, ".", ".") == 0, "change the root");
  must(umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "leave the guest's root");
  close(root);
}

/* seal: the root can be read only. */
void step_seal(struct launch *it) {
  (void)it;
  must(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept_flags("/"), NULL) == 0, "make the root read-only");
}

/* Files, and the words of failures. */
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>
#include "agent.h"

bool fail(struct failure *failure, int number, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  failure->number = number == 0 ? EIO : number;
  int size = vsnprintf(failure->text, sizeof(failure->text), format, arguments);
  va_end(arguments);
  size_t at = size < 0 ? 0 : (size_t)size;
  if (at < sizeof(failure->text) && number != 0)
    snprintf(failure->text + at, sizeof(failure->text) - at, ": %s", strerror(number));
  return false;
}

/* Makes the directories of the first `size` bytes of a path. */
static bool make_way(const char *path, size_t size) {
  char part[MAX_PATH];
  if (size >= sizeof(part)) {
    errno = ENAMETOOLONG;
    return false;
  }
  for (size_t i = 1; i <= size; i++) {
    if (i < size && path[i] != '/') continue;
    snprintf(part, sizeof(part), "%.*s", (int)i, path);
    if (mkdir(part, 0755) < 0 && errno != EEXIST) return false;
  }
  return true;
}

bool make_directories(const char *path) { return make_way(path, strlen(path)); }

bool make_parents(const char *path) {
  const char *slash = strrchr(path, '/');
  return make_way(path, slash == NULL ? 0 : (size_t)(slash - path));
}

/* Reads at most `room` - 1 bytes, and ends them with a zero. */
ssize_t read_file(const char *path, char *text, size_t room) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  text[0] = 0;
  if (fd < 0) return -1;
  size_t size = 0;
  ssize_t part;
  while (size + 1 < room && (part = read(fd, text + size, room - 1 - size)) > 0) size += (size_t)part;
  close(fd);
  text[size] = 0;
  return (ssize_t)size;
}

static bool write_all(int fd, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  while (size > 0) {
    ssize_t part = write(fd, at, size);
    if (part < 0 && errno == EINTR) continue;
    if (part < 0) return false;
    at += part;
    size -= (size_t)part;
  }
  return true;
}

/* Writes to a file of the kernel: in one piece, and it is there already. */
bool write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool fine = write(fd, text, strlen(text)) >= 0;
  int number = errno;
  close(fd);
  errno = number;
  return fine;
}

bool write_whole(const char *path, struct span data, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return false;
  bool fine = write_all(fd, data.at, data.size) && fchmod(fd, mode) == 0;
  int number = errno;
  close(fd);
  errno = number;
  return fine;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place) {
  (void)info, (void)type, (void)place;
  remove(path);
  return 0;
}

/* Removes a directory of this file system with all that is in it. */
void remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

/* Names become parts of paths. */
bool id_is_sound(const char *id) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-.";
  return id[0] != 0 && id[0] != '.' && id[0] != '-' && id[strspn(id, letters)] == 0;
}

enum answer call_write_file(struct call *call) {
  struct write_file {
    char path[MAX_PATH];
    struct span data;
    uint32_t mode, uid, gid;
  } file;
  const struct rule rules[] = {
      RULE(write_file, 1, RULE_TEXT, path), RULE(write_file, 2, RULE_SPAN, data), RULE(write_file, 3, RULE_U32, mode),
      RULE(write_file, 4, RULE_U32, uid),   RULE(write_file, 5, RULE_U32, gid),
  };
  char draft[MAX_PATH + 8];
  if (!READ(call->body, rules, &file) || file.path[0] != '/')
    return fail(&call->failure, EINVAL, "no absolute path to write to");
  snprintf(draft, sizeof(draft), "%s.draft", file.path);
  unlink(draft);
  if (!make_parents(file.path) || !write_whole(draft, file.data, file.mode & 07777) ||
      chown(draft, file.uid, file.gid) < 0 || chmod(draft, file.mode & 07777) < 0 || rename(draft, file.path) < 0)
    fail(&call->failure, errno, "cannot write %s", file.path);
  return BY_FAILURE;
}

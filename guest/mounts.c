/* Shares, disks, tmpfs, binds and overlays; what has to be waited for is looked for now and then. */
#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "agent.h"

#define LOOK_MS 2
#define DATA_ROOM 4096

struct mount_call {
  char source[MAX_PATH], target[MAX_PATH], type[64], serial[128], data[DATA_ROOM];
  uint32_t wait_ms;
  uint64_t flags;
};

static const struct rule mount_rules[] = {
    RULE(mount_call, 1, RULE_TEXT, source), RULE(mount_call, 2, RULE_TEXT, target),
    RULE(mount_call, 3, RULE_TEXT, type),   RULE(mount_call, 5, RULE_TEXT, serial),
    RULE(mount_call, 6, RULE_U32, wait_ms), RULE(mount_call, 7, RULE_U64, flags),
    RULE(mount_call, 8, RULE_TEXT, data),
};

/* A mount whose disk or share is not there yet. It keeps the call's bytes and reads them again. */
struct waiting {
  struct waiting *next;
  struct call call;
  uint64_t until;
  size_t size;
  uint8_t bytes[];
};
static struct waiting *waiting;

/* Whether the disk `name` has the serial number; virtio disks say it plainly, SCSI's page 80 behind a header. */
static bool has_serial(const char *name, const char *serial) {
  char path[MAX_PATH], text[256];
  snprintf(path, sizeof(path), "/sys/block/%s/serial", name);
  ssize_t size = read_file(path, text, sizeof(text));
  if (size > 0) {
    text[strcspn(text, "\n")] = 0;
    if (strcmp(text, serial) == 0) return true;
  }
  snprintf(path, sizeof(path), "/sys/block/%s/device/vpd_pg80", name);
  size = read_file(path, text, sizeof(text));
  size_t length = strlen(serial);
  return size >= 4 && (size_t)size - 4 == length && memcmp(text + 4, serial, length) == 0;
}

static bool find_disk(const char *serial, char *path, size_t size) {
  struct dirent *entry;
  bool found = false;
  DIR *list = opendir("/sys/block");
  while (list != NULL && !found && (entry = readdir(list)) != NULL) {
    if (entry->d_name[0] == '.' || !has_serial(entry->d_name, serial)) continue;
    snprintf(path, size, "/dev/%s", entry->d_name);
    found = access(path, F_OK) == 0;
  }
  if (list != NULL) closedir(list);
  return found;
}

static bool make_target(const struct mount_call *call) {
  struct stat info;
  bool file = (call->flags & MS_BIND) != 0 && stat(call->source, &info) == 0 && !S_ISDIR(info.st_mode);
  if (stat(call->target, &info) == 0) return true;
  if (!file) return make_directories(call->target);
  return make_parents(call->target) && write_whole(call->target, (struct span){NULL, 0}, 0644);
}

/* Bind mounts take their flags, and every mount its propagation, by a second call. */
static bool mount_steps(const struct mount_call *call, const char *source) {
  const unsigned long propagation = MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE;
  unsigned long spread = call->flags & propagation, recursive = call->flags & MS_REC;
  unsigned long flags = call->flags & ~(propagation | MS_REC | MS_BIND);
  if ((call->flags & MS_BIND) != 0) {
    if (mount(source, call->target, NULL, MS_BIND | recursive, NULL) < 0) return false;
    if (flags != 0 && mount(NULL, call->target, NULL, MS_REMOUNT | MS_BIND | flags, NULL) < 0) return false;
  } else if (mount(source, call->target, call->type, flags, call->data[0] == 0 ? NULL : call->data) < 0) {
    return false;
  }
  return spread == 0 || mount(NULL, call->target, NULL, spread | recursive, NULL) == 0;
}

/* A group of modules has the name of the file system that it is for. */
static void load_what_it_needs(const struct mount_call *call) {
  struct failure ignored;
  load_modules(call->type, &ignored);
  if (call->serial[0] != 0) load_modules("block", &ignored);
}

/* @returns whether it is decided; if not, the disk or share may still come. */
static bool try_mount(struct span body, bool last, struct failure *failure) {
  static struct mount_call call;
  char disk[MAX_PATH];
  if (!READ(body, mount_rules, &call) || call.target[0] != '/') return !fail(failure, EINVAL, "not a mount");
  if (call.serial[0] != 0 && !find_disk(call.serial, disk, sizeof(disk))) {
    fail(failure, ENODEV, "there is no disk with the serial number %s", call.serial);
    return last;
  }
  const char *source = call.serial[0] != 0 ? disk : call.source;
  if (!make_target(&call)) return !fail(failure, errno, "cannot make %s", call.target);
  if (mount_steps(&call, source)) {
    failure->number = 0;
    return true;
  }
  int number = errno;
  fail(failure, number, "cannot mount %s (%s) at %s", source, call.type, call.target);
  /* virtiofs says EINVAL for a tag that is not there; a disk that was just removed has its name a moment longer. */
  bool may_come = call.serial[0] != 0 ? number == ENXIO || number == ENODEV || number == ENOENT
                                      : strcmp(call.type, "virtiofs") == 0 && number == EINVAL;
  return last || !may_come;
}

enum answer call_mount(struct call *call) {
  static struct mount_call wanted;
  struct span body = call->body;
  if (READ(body, mount_rules, &wanted)) load_what_it_needs(&wanted);
  /* Disks come by SCSI, which says so itself; shares may be behind a bridge. */
  if (strcmp(wanted.type, "virtiofs") == 0) find_new_devices();
  bool decided = try_mount(body, wanted.wait_ms == 0, &call->failure);
  struct waiting *one = decided ? NULL : malloc(sizeof(*one) + body.size);
  if (one == NULL) return BY_FAILURE;
  *one = (struct waiting){waiting, *call, now_ms() + wanted.wait_ms, body.size};
  memcpy(one->bytes, body.at, body.size);
  waiting = one;
  tick_in(LOOK_MS);
  return BY_ITSELF;
}

void mounts_tick(void) {
  for (struct waiting **each = &waiting; *each != NULL;) {
    struct waiting *one = *each;
    if (!try_mount((struct span){one->bytes, one->size}, now_ms() >= one->until, &one->call.failure)) {
      each = &one->next;
      tick_in(LOOK_MS);
      continue;
    }
    reply(&one->call);
    *each = one->next;
    free(one);
  }
}

enum answer call_unmount(struct call *call) {
  struct unmount {
    char target[MAX_PATH];
    bool lazy, remove;
  } unmount;
  const struct rule rules[] = {RULE(unmount, 1, RULE_TEXT, target), RULE(unmount, 2, RULE_BOOL, lazy),
                               RULE(unmount, 3, RULE_BOOL, remove)};
  if (!READ(call->body, rules, &unmount) || unmount.target[0] != '/')
    return fail(&call->failure, EINVAL, "no absolute path to unmount");
  if (umount2(unmount.target, UMOUNT_NOFOLLOW | (unmount.lazy ? MNT_DETACH : 0)) < 0 && errno != EINVAL &&
           errno != ENOENT)
    return fail(&call->failure, errno, "cannot unmount %s", unmount.target);
  if (unmount.remove && remove(unmount.target) < 0 && errno != ENOENT)
    fail(&call->failure, errno, "cannot remove %s", unmount.target);
  return BY_FAILURE;
}

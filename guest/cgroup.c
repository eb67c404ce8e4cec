/* A container's cgroup (version 2): its processes, its freezer, and the kernel's out-of-memory killer. */
#include <dirent.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include "agent.h"

#define ROOT "/sys/fs/cgroup"
#define SIGNAL_PIDS 4096

static void on_oom(struct watch *watch, uint32_t events);
static struct watch oom = {.fd = -1, .ready = on_oom};

void oom_watch_open(void) {
  oom.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  watch_set(&oom, EPOLLIN);
}

static void file_of(const struct container *container, const char *file, char *path, size_t size) {
  snprintf(path, size, "%s/%s", container->cgroup, file);
}

/* Where the container's first process lives; the kernel's answer, not the configuration's wish. */
void cgroup_learn(struct container *container) {
  char path[MAX_PATH], text[MAX_PATH];
  snprintf(path, sizeof(path), "/proc/%d/cgroup", container->main->pid);
  read_file(path, text, sizeof(text));
  char *at = strstr(text, "0::/");
  if (at == NULL) return;
  at[strcspn(at, "\n")] = 0;
  /* The root's own group holds this process: it is never a container's. */
  if (at[4] == 0) return;
  snprintf(container->cgroup, sizeof(container->cgroup), ROOT "%s", at + 3);
  file_of(container, "memory.events", path, sizeof(path));
  container->oom_watch = inotify_add_watch(oom.fd, path, IN_MODIFY);
}

bool cgroup_write(const struct container *container, const char *file, const char *text) {
  char path[MAX_PATH + 32];
  if (container->cgroup[0] == 0) {
    errno = ENOENT;
    return false;
  }
  file_of(container, file, path, sizeof(path));
  return write_text(path, text);
}

/* FILE=VALUE, with a question mark before a file that may be missing. */
static bool set_limit(const struct container *container, struct span limit, struct failure *failure) {
  char text[512];
  snprintf(text, sizeof(text), "%.*s", (int)limit.size, (const char *)limit.at);
  char *value = strchr(text, '='), *file = text[0] == '?' ? text + 1 : text;
  if (value == NULL || strchr(file, '/') != NULL) return fail(failure, EINVAL, "not a limit");
  *value++ = 0;
  if (cgroup_write(container, file, value) || (file != text && errno == ENOENT)) return true;
  return fail(failure, errno, "cannot write %s to the cgroup's %s", value, file);
}

enum answer call_update(struct call *call) {
  struct update {
    char id[MAX_ID];
    struct list limits;
  } update;
  const struct rule rules[] = {RULE(update, 1, RULE_TEXT, id), RULE(update, 3, RULE_LIST, limits)};
  struct container *container = READ(call->body, rules, &update) ? container_find(update.id) : NULL;
  if (container == NULL) return fail(&call->failure, ENOENT, "container %s", update.id);
  for (size_t i = 0; i < update.limits.count; i++)
    if (!set_limit(container, update.limits.items[i], &call->failure)) break;
  return BY_FAILURE;
}

/* Whether cgroup.events says `event` is `value`. */
bool cgroup_event_is(const struct container *container, const char *event, char value) {
  char path[MAX_PATH + 32], text[256];
  file_of(container, "cgroup.events", path, sizeof(path));
  read_file(path, text, sizeof(text));
  const char *at = strstr(text, event);
  return at != NULL && at[strlen(event)] == ' ' && at[strlen(event) + 1] == value;
}

static bool is_group(const char *directory, const struct dirent *entry, char *path, size_t size) {
  if (entry->d_type != DT_DIR || entry->d_name[0] == '.') return false;
  return snprintf(path, size, "%s/%s", directory, entry->d_name) < (int)size;
}

/* Removes a group and those below; false while processes live there. */
bool cgroup_remove(const char *directory) {
  char path[MAX_PATH];
  struct dirent *entry;
  if (rmdir(directory) == 0 || errno == ENOENT) return true;
  DIR *list = opendir(directory);
  while (list != NULL && (entry = readdir(list)) != NULL)
    if (is_group(directory, entry, path, sizeof(path))) cgroup_remove(path);
  if (list != NULL) closedir(list);
  return rmdir(directory) == 0 || errno == ENOENT;
}

static int collect(const char *directory, pid_t *pids, int count, int room) {
  char path[MAX_PATH], line[32];
  struct dirent *entry;
  if (snprintf(path, sizeof(path), "%s/cgroup.procs", directory) >= (int)sizeof(path)) return count;
  FILE *file = fopen(path, "re");
  while (file != NULL && count < room && fgets(line, sizeof(line), file) != NULL) {
    pids[count] = (pid_t)strtol(line, NULL, 10);
    if (pids[count] > 1) count++;
  }
  if (file != NULL) fclose(file);
  DIR *list = opendir(directory);
  while (list != NULL && (entry = readdir(list)) != NULL)
    if (is_group(directory, entry, path, sizeof(path))) count = collect(path, pids, count, room);
  if (list != NULL) closedir(list);
  return count;
}

/* The processes of the group and of those below; at most `room`. */
int cgroup_pids(const struct container *container, pid_t *pids, int room) {
  return container->cgroup[0] == 0 ? 0 : collect(container->cgroup, pids, 0, room);
}

/* Sends a signal to every process of the container. @returns how many got it. */
int cgroup_signal(const struct container *container, int number) {
  static pid_t pids[SIGNAL_PIDS];
  int count = cgroup_pids(container, pids, SIGNAL_PIDS), sent = 0;
  if (number == SIGKILL && count > 0 && cgroup_write(container, "cgroup.kill", "1")) return count;
  for (int i = 0; i < count; i++)
    if (kill(pids[i], number) == 0) sent++;
  return sent;
}

/* Looks whether the kernel killed for lack of memory since it was looked last. */
void oom_look(struct container *container) {
  char path[MAX_PATH + 32], text[512];
  struct buffer body = {.limit = MAX_PAYLOAD};
  if (container->cgroup[0] == 0) return;
  file_of(container, "memory.events", path, sizeof(path));
  read_file(path, text, sizeof(text));
  const char *at = strstr(text, "oom_kill ");
  uint64_t kills = at == NULL ? 0 : strtoull(at + strlen("oom_kill "), NULL, 10);
  if (kills <= container->oom_kills) return;
  container->oom_kills = kills;
  container_put(&body, container);
  event(2, &body);
  buffer_free(&body);
}

static void on_oom(struct watch *watch, uint32_t events) {
  char bytes[4096] __attribute__((aligned(8)));
  (void)events;
  while (read(watch->fd, bytes, sizeof(bytes)) > 0) continue;
  for (struct container *each = containers; each != NULL; each = each->next) oom_look(each);
}

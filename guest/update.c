/* New limits for a running container. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "agent.h"

static void updated(struct child *child, int status, const char *text) {
  char path[MAX_PATH];
  snprintf(path, sizeof(path), "/run/skiff/%s.json", child->name);
  unlink(path);
  if (status != 0) return crun_failed(child, status, text);
  reply(child->call, child->host, NULL, 0, NULL);
}

/* Writes to a file of a container's cgroup, as crun would: FILE=VALUE, with a question mark before what may be missing. */
static bool set_limit(const struct container *container, struct span limit, struct failure *failure) {
  char text[512];
  snprintf(text, sizeof(text), "%.*s", (int)limit.size, (const char *)limit.at);
  char *value = strchr(text, '='), *file = text[0] == '?' ? text + 1 : text;
  if (value == NULL || strchr(file, '/') != NULL) return fail(failure, EINVAL, "not a limit");
  *value++ = 0;
  if (cgroup_write(container, file, value) || (file != text && errno == ENOENT)) return true;
  return fail(failure, errno, "cannot write %s to the cgroup's %s", value, file);
}

void call_update(uint32_t call, struct span body) {
  struct update {
    char id[MAX_ID];
    struct span json;
    struct list limits;
  } update;
  const struct rule rules[] = {
      RULE(update, 1, RULE_TEXT, id), RULE(update, 2, RULE_SPAN, json), RULE(update, 3, RULE_LIST, limits)};
  struct failure failure = {0};
  struct stdio stdio = {{-1, -1, -1}, false};
  char path[MAX_PATH];
  struct container *container = READ(body, rules, &update) ? container_find(update.id) : NULL;
  if (container == NULL) fail(&failure, ENOENT, "container %s", update.id);
  for (size_t i = 0; container != NULL && container->launched && i < update.limits.count; i++)
    if (!set_limit(container, update.limits.items[i], &failure)) break;
  if (container == NULL || container->launched) return reply(call, host_number, &failure, 0, NULL);
  struct child *child = child_new(call, update.id, NULL, "update");
  bool fine = child != NULL || fail(&failure, EBUSY, "too many calls at once");
  if (fine) {
    child->done = updated;
    snprintf(path, sizeof(path), "/run/skiff/%s.json", child->name);
    const char *const arguments[] = {"update", "--resources", path, update.id, NULL};
    for (int i = 0; i < 3; i++) stdio.theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fine = write_whole(path, update.json, 0600) || fail(&failure, errno, "cannot keep the limits");
    fine = fine && child_start(child, CRUN, &stdio, arguments, &failure);
    stdio_close(&stdio);
  }
  if (fine) return;
  child_free(child);
  reply(call, host_number, &failure, 0, NULL);
}

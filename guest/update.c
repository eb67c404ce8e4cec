/* New limits for a running container. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "agent.h"

static void updated(struct child *child, int status, const char *text) {
  char path[MAX_PATH];
  snprintf(path, sizeof(path), "/run/skiff/%s.json", child->name);
  unlink(path);
  if (status != 0) return crun_failed(child, status, text);
  reply(child->call, child->host, NULL, 0, NULL);
}

void call_update(uint32_t call, struct span body) {
  struct update {
    char id[MAX_ID];
    struct span json;
  } update;
  const struct rule rules[] = {RULE(update, 1, RULE_TEXT, id), RULE(update, 2, RULE_SPAN, json)};
  struct failure failure = {0};
  struct stdio stdio = {{-1, -1, -1}, false};
  char path[MAX_PATH];
  if (!READ(body, rules, &update) || container_find(update.id) == NULL) {
    fail(&failure, ENOENT, "container %s", update.id);
    return reply(call, host_number, &failure, 0, NULL);
  }
  struct child *child = child_new(call, update.id, NULL, "update");
  bool fine = child != NULL || fail(&failure, EBUSY, "too many calls at once");
  if (fine) {
    child->done = updated;
    snprintf(path, sizeof(path), "/run/skiff/%s.json", child->name);
    const char *const arguments[] = {"update", "--resources", path, update.id, NULL};
    for (int i = 0; i < 3; i++) stdio.theirs[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fine = write_whole(path, update.json, 0600) || fail(&failure, errno, "cannot keep the limits");
    fine = fine && child_start(child, &stdio, arguments, &failure);
    stdio_close(&stdio);
  }
  if (fine) return;
  child_free(child);
  reply(call, host_number, &failure, 0, NULL);
}

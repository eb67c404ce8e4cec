/* Figures and processes: files of the kernel as they are; the host makes sense of them. */
#include <sys/stat.h>
#include "agent.h"

#define FILE_ROOM (16 * 1024)
#define MAX_PIDS 512
#define COMMAND_ROOM 4096

static void put_file(struct buffer *out, const char *directory, const char *name) {
  static char text[FILE_ROOM];
  char path[MAX_PATH + 64];
  struct buffer one = {.limit = MAX_PAYLOAD};
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  ssize_t size = read_file(path, text, sizeof(text));
  if (size < 0) return;
  put_text(&one, 1, name);
  put_bytes(&one, 2, text, (size_t)size);
  put_message(out, 1, &one);
}

enum answer call_container_stats(struct call *call) {
  static const char *const names[] = {"cpu.stat",    "memory.current", "memory.max", "memory.stat", "memory.swap.current",
                                      "memory.events", "pids.current",   "pids.max",   "io.stat"};
  struct container *container = container_named(call);
  struct buffer out = {.limit = MAX_PAYLOAD};
  if (container == NULL) return BY_FAILURE;
  if (container->cgroup[0] == 0 || access(container->cgroup, F_OK) < 0)
    return fail(&call->failure, ENOENT, "container %s has no cgroup", container->id);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) put_file(&out, container->cgroup, names[i]);
  return reply_with(call, 5, &out);
}

enum answer call_guest_stats(struct call *call) {
  static const char *const names[] = {"uptime", "stat", "meminfo", "loadavg", "net/dev", "pressure/memory"};
  struct buffer out = {.limit = MAX_PAYLOAD};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) put_file(&out, "/proc", names[i]);
  return reply_with(call, 5, &out);
}

static void put_process(struct buffer *out, pid_t pid) {
  static char text[COMMAND_ROOM];
  char path[64];
  struct stat info;
  struct buffer one = {.limit = MAX_PAYLOAD};
  snprintf(path, sizeof(path), "/proc/%d/stat", pid);
  if (stat(path, &info) < 0 || read_file(path, text, sizeof(text)) <= 0) return;
  put_number(&one, 1, (uint64_t)pid);
  put_number(&one, 3, info.st_uid);
  put_text(&one, 8, text);
  snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
  ssize_t size = read_file(path, text, sizeof(text));
  if (size > 0) put_bytes(&one, 7, text, (size_t)size);
  put_message(out, 1, &one);
}

enum answer call_processes(struct call *call) {
  static pid_t pids[MAX_PIDS];
  struct container *container = container_named(call);
  struct buffer out = {.limit = MAX_PAYLOAD};
  if (container == NULL) return BY_FAILURE;
  int count = cgroup_pids(container, pids, MAX_PIDS);
  for (int i = 0; i < count && out.size < MAX_PAYLOAD - 2 * COMMAND_ROOM; i++) put_process(&out, pids[i]);
  return reply_with(call, 6, &out);
}

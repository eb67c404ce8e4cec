/* What came by frames: calls are read and handed to those who serve them. */
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>
#include "agent.h"

#define NONCE 16
#define END_MS 4000 /* what containers get to end in, when the VM does */

static void call_hello(uint32_t call, struct span body) {
  struct hello {
    uint32_t version;
    struct span nonce;
  } hello;
  const struct rule rules[] = {RULE(hello, 1, RULE_U32, version), RULE(hello, 2, RULE_SPAN, nonce)};
  if (READ(body, rules, &hello) && hello.nonce.size == NONCE) greet(hello.nonce, call);
}

static void call_ping(uint32_t call, struct span body) {
  (void)body;
  reply_done(call);
}

static void call_signal(uint32_t call, struct span body) {
  struct signal_call {
    uint32_t handle, number;
    char id[MAX_ID];
    bool all;
  } wanted;
  const struct rule rules[] = {
      RULE(signal_call, 1, RULE_U32, handle), RULE(signal_call, 2, RULE_TEXT, id),
      RULE(signal_call, 3, RULE_U32, number), RULE(signal_call, 4, RULE_BOOL, all)};
  struct failure failure = {0};
  struct container *container = NULL;
  struct process *process = NULL;
  if (!READ(body, rules, &wanted) || wanted.number > 64) {
    fail(&failure, EINVAL, "not a signal");
  } else {
    container = wanted.handle == 0 ? container_find(wanted.id) : NULL;
    process = wanted.handle != 0 ? process_find(wanted.handle) : container != NULL ? container->main : NULL;
    if (container != NULL && wanted.all) {
      if (cgroup_signal(container, (int)wanted.number) == 0)
        fail(&failure, ESRCH, "no process of container %s runs", container->id);
    } else if (process == NULL || process->pid <= 0 || process->exited) {
      fail(&failure, ESRCH, "the process has ended");
    } else if (wanted.all) {
      session_signal(process->pid, (int)wanted.number);
    } else if (kill(process->pid, (int)wanted.number) < 0) {
      fail(&failure, errno, "cannot signal process %d", process->pid);
    }
  }
  reply(call, host_number, &failure, 0, NULL);
}

static void call_resize(uint32_t call, struct span body) {
  struct resize {
    uint32_t handle, columns, rows;
  } resize;
  const struct rule rules[] = {
      RULE(resize, 1, RULE_U32, handle), RULE(resize, 2, RULE_U32, columns), RULE(resize, 3, RULE_U32, rows)};
  struct failure failure = {0};
  struct process *process = READ(body, rules, &resize) ? process_find(resize.handle) : NULL;
  struct winsize size = {.ws_col = (unsigned short)resize.columns, .ws_row = (unsigned short)resize.rows};
  if (process == NULL || !process->terminal)
    fail(&failure, ENOTTY, "the process has no terminal");
  else if (process->streams[1].watch.fd < 0)
    fail(&failure, ESRCH, "the process has ended");
  else if (ioctl(process->streams[1].watch.fd, TIOCSWINSZ, &size) < 0)
    fail(&failure, errno, "cannot resize the terminal");
  reply(call, host_number, &failure, 0, NULL);
}

static void call_release(uint32_t call, struct span body) {
  struct release {
    uint32_t handle;
  } release;
  const struct rule rules[] = {RULE(release, 1, RULE_U32, handle)};
  struct failure failure = {0};
  struct process *process = READ(body, rules, &release) ? process_find(release.handle) : NULL;
  if (process != NULL && process->container != NULL) {
    /* A container's own goes with it. */
    if (!process->exited)
      fail(&failure, EBUSY, "process %d has not ended", process->pid);
    else if (process->container->main != process)
      process_free(process);
  } else if (process != NULL) {
    process_free(process);
  }
  reply(call, host_number, &failure, 0, NULL);
}

static void call_drop_caches(uint32_t call, struct span body) {
  (void)body;
  sync();
  write_text("/proc/sys/vm/drop_caches", "3");
  reply_done(call);
}

/* The end is the host's to see: the connection breaks with the VM. A clean file system comes first. */
static void call_shutdown(uint32_t call, struct span body) {
  (void)call, (void)body;
  containers_kill();
  for (uint64_t end = now_ms() + END_MS; now_ms() < end; usleep(1000)) {
    bool any = false;
    reap();
    for (struct process *each = processes; each != NULL; each = each->next)
      if (each->container != NULL && !each->exited && each->pid > 0) any = true;
    if (!any) break;
  }
  sync();
  reboot(RB_AUTOBOOT);
}

typedef void handler(uint32_t call, struct span body);

/* By the field numbers of Call in contracts/vm/agent.proto. */
static handler *const handlers[] = {
    [1] = call_hello,            [2] = call_ping,      [3] = call_configure, [4] = call_mount,
    [5] = call_unmount,          [6] = call_write_file, [7] = call_create,    [8] = call_start,
    [9] = call_delete,           [10] = call_pause,    [11] = call_resume,   [12] = call_update,
    [13] = call_container_stats, [14] = call_processes, [15] = call_exec,     [16] = call_signal,
    [17] = call_resize,          [18] = call_release,  [19] = call_connect,  [20] = call_guest_stats,
    [21] = call_shutdown,        [22] = call_clock,    [23] = call_drop_caches,
};

void handle_call(uint32_t call, struct span payload) {
  struct field field;
  struct failure failure = {0};
  int result = field_next(&payload, &field);
  if (result == 1 && field.is_bytes && field.number < sizeof(handlers) / sizeof(handlers[0]) &&
      handlers[field.number] != NULL) {
    handlers[field.number](call, field.bytes);
    return;
  }
  fail(&failure, result == 1 ? ENOSYS : EINVAL, "this agent does not know the call");
  reply(call, host_number, &failure, 0, NULL);
}

void handle_frame(const struct frame *frame) {
  if (frame->type == FRAME_CALL) handle_call(frame->id, frame->payload);
  if (frame->type == FRAME_DATA) stream_data(frame->id, frame->payload);
  if (frame->type == FRAME_END) stream_end(frame->id);
  if (frame->type == FRAME_CREDIT) stream_credit(frame->id, frame->payload);
  if (frame->type == FRAME_RESET) stream_reset(frame->id);
}

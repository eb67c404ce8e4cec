/* What came by frames: calls are read and handed to those who serve them. */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <termios.h>
#include "agent.h"

#define NONCE 16
#define END_MS 4000 /* what containers get to end in, when the VM does */

static enum answer call_hello(struct call *call) {
  struct hello {
    uint32_t version;
    struct span nonce;
  } hello;
  const struct rule rules[] = {RULE(hello, 1, RULE_U32, version), RULE(hello, 2, RULE_SPAN, nonce)};
  if (READ(call->body, rules, &hello) && hello.nonce.size == NONCE) greet(hello.nonce, call);
  return BY_ITSELF;
}

static enum answer call_ping(struct call *call) {
  (void)call;
  return BY_FAILURE;
}

static enum answer call_signal(struct call *call) {
  struct signal_call {
    uint32_t handle, number;
    char id[MAX_ID];
    bool all;
  } wanted;
  const struct rule rules[] = {
      RULE(signal_call, 1, RULE_U32, handle), RULE(signal_call, 2, RULE_TEXT, id),
      RULE(signal_call, 3, RULE_U32, number), RULE(signal_call, 4, RULE_BOOL, all)};
  if (!READ(call->body, rules, &wanted) || wanted.number > 64) return fail(&call->failure, EINVAL, "not a signal");
  struct container *container = wanted.handle == 0 ? container_find(wanted.id) : NULL;
  struct process *process = wanted.handle != 0 ? process_find(wanted.handle) : container != NULL ? container->main : NULL;
  if (container != NULL && wanted.all) {
    if (cgroup_signal(container, (int)wanted.number) == 0)
      fail(&call->failure, ESRCH, "no process of container %s runs", container->id);
  } else if (process == NULL || process->pid <= 0 || process->exited) {
    fail(&call->failure, ESRCH, "the process has ended");
  } else if (wanted.all) {
    session_signal(process->pid, (int)wanted.number);
  } else if (kill(process->pid, (int)wanted.number) < 0) {
    fail(&call->failure, errno, "cannot signal process %d", process->pid);
  }
  return BY_FAILURE;
}

static enum answer call_resize(struct call *call) {
  struct resize {
    uint32_t handle, columns, rows;
  } resize;
  const struct rule rules[] = {
      RULE(resize, 1, RULE_U32, handle), RULE(resize, 2, RULE_U32, columns), RULE(resize, 3, RULE_U32, rows)};
  struct process *process = READ(call->body, rules, &resize) ? process_find(resize.handle) : NULL;
  struct winsize size = {.ws_col = (unsigned short)resize.columns, .ws_row = (unsigned short)resize.rows};
  if (process == NULL || !process->terminal) return fail(&call->failure, ENOTTY, "the process has no terminal");
  if (process->streams[1].watch.fd < 0) return fail(&call->failure, ESRCH, "the process has ended");
  if (ioctl(process->streams[1].watch.fd, TIOCSWINSZ, &size) < 0)
    fail(&call->failure, errno, "cannot resize the terminal");
  return BY_FAILURE;
}

static enum answer call_release(struct call *call) {
  struct release {
    uint32_t handle;
  } release;
  const struct rule rules[] = {RULE(release, 1, RULE_U32, handle)};
  struct process *process = READ(call->body, rules, &release) ? process_find(release.handle) : NULL;
  if (process == NULL) return BY_FAILURE;
  if (process->container != NULL && !process->exited)
    return fail(&call->failure, EBUSY, "process %d has not ended", process->pid);
  /* A container's own goes with it. */
  if (process->container == NULL || process->container->main != process) process_free(process);
  return BY_FAILURE;
}

static enum answer call_drop_caches(struct call *call) {
  (void)call;
  sync();
  write_text("/proc/sys/vm/drop_caches", "3");
  return BY_FAILURE;
}

/* The end is the host's to see: the connection breaks with the VM. A clean file system comes first. */
static enum answer call_shutdown(struct call *call) {
  (void)call;
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
  return BY_ITSELF;
}

/* By the field numbers of Call in contracts/vm/agent.proto. */
static handler *const handlers[] = {
    [1] = call_hello,            [2] = call_ping,      [3] = call_configure, [4] = call_mount,
    [5] = call_unmount,          [6] = call_write_file, [7] = call_create,    [8] = call_start,
    [9] = call_delete,           [10] = call_pause,    [11] = call_resume,   [12] = call_update,
    [13] = call_container_stats, [14] = call_processes, [15] = call_exec,     [16] = call_signal,
    [17] = call_resize,          [18] = call_release,  [19] = call_connect,  [20] = call_guest_stats,
    [21] = call_shutdown,        [22] = call_clock,    [23] = call_drop_caches,
};

static void handle_call(uint32_t number, struct span payload) {
  struct field field;
  struct call call = {.number = number, .host = host_number};
  int result = field_next(&payload, &field);
  bool known = result == 1 && field.is_bytes && field.number < sizeof(handlers) / sizeof(handlers[0]) &&
               handlers[field.number] != NULL;
  call.body = field.bytes;
  if (!known) fail(&call.failure, result == 1 ? ENOSYS : EINVAL, "this agent does not know the call");
  if (!known || handlers[field.number](&call) == BY_FAILURE) reply(&call);
}

void handle_frame(const struct frame *frame) {
  if (frame->type == FRAME_CALL) handle_call(frame->id, frame->payload);
  if (frame->type == FRAME_DATA) stream_data(frame->id, frame->payload);
  if (frame->type == FRAME_END) stream_end(frame->id);
  if (frame->type == FRAME_CREDIT) stream_credit(frame->id, frame->payload);
  if (frame->type == FRAME_RESET) stream_reset(frame->id);
}

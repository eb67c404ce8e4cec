/* Processes with streams, and connections, which are the same without a process. */
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include "agent.h"

#define MAX_STRAYS 256

struct process *processes;

/* Ends of processes that are not known yet: crun has started them and not said so. */
static struct stray {
  pid_t pid;
  int status;
} strays[MAX_STRAYS];
static size_t stray_count;

struct process *process_find(uint32_t handle) {
  for (struct process *each = processes; each != NULL; each = each->next)
    if (each->handle == handle) return each;
  return NULL;
}

struct process *process_new(uint32_t handle, struct container *container, struct failure *failure) {
  size_t count = 0;
  for (struct process *each = processes; each != NULL; each = each->next) count++;
  if (handle == 0 || handle >= 1U << 29) {
    fail(failure, EINVAL, "no usable handle");
    return NULL;
  }
  if (process_find(handle) != NULL) {
    fail(failure, EEXIST, "handle %u", handle);
    return NULL;
  }
  struct process *process = count < MAX_PROCESSES ? calloc(1, sizeof(*process)) : NULL;
  if (process == NULL) {
    fail(failure, ENOMEM, "too many processes");
    return NULL;
  }
  process->handle = handle;
  process->container = container;
  for (int i = 0; i < 3; i++) process->streams[i].watch.fd = -1;
  process->next = processes;
  processes = process;
  return process;
}

void process_free(struct process *process) {
  for (struct process **each = &processes; *each != NULL; each = &(*each)->next) {
    if (*each != process) continue;
    *each = process->next;
    break;
  }
  for (int i = 0; i < 3; i++) stream_close(&process->streams[i]);
  free(process);
}

void process_exited(struct process *process, int status) {
  struct buffer body = {.limit = MAX_PAYLOAD};
  process->exited = true;
  process->status = status;
  process->exited_at = now_ns();
  streams_drain(process);
  struct container *container = process->container;
  if (container != NULL) {
    oom_look(container);
    if (container->main == process) container->status = STOPPED;
  }
  process_put(&body, process);
  event(1, &body);
  buffer_free(&body);
}

/* Says which process it is; it may have ended already. */
void process_learn(struct process *process, pid_t pid) {
  process->pid = pid;
  for (size_t i = 0; i < stray_count; i++) {
    if (strays[i].pid != pid) continue;
    int status = strays[i].status;
    strays[i] = strays[--stray_count];
    process_exited(process, status);
    return;
  }
}

void process_put(struct buffer *out, const struct process *process) {
  put_number(out, 1, process->handle);
  if (process->container != NULL) put_text(out, 2, process->container->id);
  put_number(out, 3, (uint64_t)process->pid);
  put_number(out, 4, process->terminal);
  if (process->exited) {
    put_number(out, 5, 1);
    if (WIFSIGNALED(process->status))
      put_number(out, 7, (uint64_t)WTERMSIG(process->status));
    else
      put_number(out, 6, (uint64_t)WEXITSTATUS(process->status));
    put_number(out, 8, process->exited_at);
  }
  put_number(out, 9, process->streams[0].end);
  put_number(out, 10, process->streams[0].ended);
  put_number(out, 11, process->streams[1].base);
  put_number(out, 12, process->streams[2].base);
  put_number(out, 13, process->written[1]);
  put_number(out, 14, process->written[2]);
}

static void note(pid_t pid, int status) {
  if (child_ended(pid, status)) return;
  for (struct process *each = processes; each != NULL; each = each->next) {
    if (each->pid != pid || each->exited) continue;
    process_exited(each, status);
    return;
  }
  if (!children_run()) {
    stray_count = 0;
    return;
  }
  if (stray_count == MAX_STRAYS) {
    memmove(strays, strays + 1, sizeof(strays) - sizeof(strays[0]));
    stray_count--;
  }
  strays[stray_count++] = (struct stray){pid, status};
}

/* Signals a process with all of its session: crun makes one for each, and what the process starts is in it. */
void session_signal(pid_t pid, int number) {
  struct dirent *entry;
  DIR *directory = opendir("/proc");
  pid_t session = getsid(pid);
  while (directory != NULL && session != getsid(0) && (entry = readdir(directory)) != NULL) {
    pid_t each = (pid_t)strtol(entry->d_name, NULL, 10);
    if (each > 1 && each != pid && getsid(each) == session) kill(each, number);
  }
  if (directory != NULL) closedir(directory);
  kill(pid, number);
}

/* Every orphan of the VM becomes a child of process 1. */
void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) note(pid, status);
}

/*
 * The streams of PID 1 against a model: `streams ROUNDS SEED` lets a host, a process and PID 1 take their steps in any
 * order. Pipes are real; the port's queue is read by a host that counts. Whatever the order, what one side wrote the
 * other gets, byte for byte, and only then the end.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "../agent.h"
#include "chance.h"

#define MOST (1500 * 1000)
#define PIPE_SIZE (256 * 1024)
#define WINDOW STREAM_ROOM

/* What streams.c needs of main.c and port.c. */
struct buffer port_queue = {.limit = 4 * 1024 * 1024};
bool host_is_there = true;
static bool tick_asked;

size_t port_waiting(void) { return port_queue.size; }

void tick_in(int ms) {
  (void)ms;
  tick_asked = true;
}

void watch_set(struct watch *watch, uint32_t events) { watch->events = events; }

void watch_close(struct watch *watch) {
  if (watch->fd >= 0) close(watch->fd);
  watch->fd = -1;
}

/* The byte of a stream at a count: one that is lost or repeated shifts all that follow. */
static uint8_t byte_at(uint64_t count) { return (uint8_t)(count * 31 + (count >> 8) * 7 + (count >> 16)); }

static void write_bytes(uint8_t *bytes, uint64_t from, size_t size) {
  for (size_t i = 0; i < size; i++) bytes[i] = byte_at(from + i);
}

static void check_bytes(const uint8_t *bytes, uint64_t from, size_t size) {
  for (size_t i = 0; i < size; i++) assert(bytes[i] == byte_at(from + i));
}

/* One process that reads its input and writes its output, each as far as it goes, and the host that talks to it. */
static struct {
  struct process process;
  int input, output; /* the process's ends, or -1 */
  uint64_t input_size, output_size;
  uint64_t sent, allowed;       /* input: by the host */
  uint64_t taken;               /* input: by the process */
  uint64_t written;             /* output: by the process */
  uint64_t received, confirmed; /* output: by the host */
  bool end_sent, input_ended, output_ended, exited;
} it;

static void open_pipe(int number, int *theirs) {
  int ends[2];
  assert(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  fcntl(ends[0], F_SETPIPE_SZ, number == 0 ? 4096 << chance(5) : PIPE_SIZE);
  *theirs = ends[number == 0 ? 0 : 1];
  stream_open(&it.process.streams[number], &it.process, number, ends[number == 0 ? 1 : 0], false);
}

static void host_allows(void) {
  uint8_t credit[16];
  it.confirmed += chance((uint32_t)(it.received - it.confirmed) + 1);
  if (chance(2)) it.confirmed = it.received;
  set_u64(credit, it.confirmed);
  set_u64(credit + 8, it.confirmed + WINDOW);
  stream_credit(it.process.streams[1].id, (struct span){credit, sizeof(credit)});
}

/* Another host, which has only what was confirmed, and asks how much input may come. */
static void host_changes(void) {
  static const uint8_t zeros[16];
  port_queue.size = 0;
  streams_rewind();
  it.received = it.confirmed;
  it.output_ended = false;
  it.sent = it.allowed = it.process.streams[0].end;
  stream_credit(it.process.streams[0].id, (struct span){zeros, sizeof(zeros)});
  host_allows();
}

static void host_sends(void) {
  static uint8_t bytes[MAX_DATA];
  uint64_t left = it.input_size - it.sent, free = it.allowed - it.sent;
  size_t size = chance(4) ? MAX_DATA : 1 + chance(MAX_DATA);
  if (size > left) size = (size_t)left;
  if (size > free) size = (size_t)free;
  if (size > 0) {
    write_bytes(bytes, it.sent, size);
    stream_data(it.process.streams[0].id, (struct span){bytes, size});
    it.sent += size;
  } else if (left == 0 && !it.end_sent) {
    stream_end(it.process.streams[0].id);
    it.end_sent = true;
  }
}

static void host_takes_frame(const struct frame *frame) {
  const struct stream *streams = it.process.streams;
  if (frame->id == streams[0].id) {
    assert(frame->type == FRAME_CREDIT && get_u64(frame->payload.at) <= it.sent);
    it.allowed = get_u64(frame->payload.at + 8);
    return;
  }
  assert(frame->id == streams[1].id && !it.output_ended);
  if (frame->type == FRAME_END) {
    assert(it.received == it.output_size && it.output < 0);
    it.output_ended = true;
    return;
  }
  assert(frame->type == FRAME_DATA && frame->payload.size <= MAX_DATA);
  check_bytes(frame->payload.at, it.received, frame->payload.size);
  it.received += frame->payload.size;
  assert(it.received <= it.confirmed + WINDOW && it.received <= it.written);
}

static void host_reads(void) {
  static uint8_t parser_bytes[FRAME_OVERHEAD + MAX_PAYLOAD];
  struct frame_parser parser = {.bytes = parser_bytes};
  struct span input = {port_queue.at, port_queue.size};
  struct frame frame;
  while (frame_next(&parser, &input, &frame)) host_takes_frame(&frame);
  port_queue.size = 0;
}

static void process_reads(void) {
  static uint8_t bytes[65536];
  ssize_t size = it.input < 0 ? -1 : read(it.input, bytes, 1 + chance(sizeof(bytes)));
  if (size > 0) {
    check_bytes(bytes, it.taken, (size_t)size);
    it.taken += (uint64_t)size;
  } else if (size == 0) {
    assert(it.taken == it.input_size && it.end_sent);
    it.input_ended = true;
  }
}

/* Writes; whoever holds its output last closes it when all is written. */
static void process_writes(void) {
  static uint8_t bytes[65536];
  uint64_t left = it.output_size - it.written;
  size_t size = 1 + chance(sizeof(bytes));
  if (it.output < 0) return;
  if (size > left) size = (size_t)left;
  write_bytes(bytes, it.written, size);
  ssize_t done = size == 0 ? 0 : write(it.output, bytes, size);
  if (done > 0) it.written += (uint64_t)done;
  if (it.written < it.output_size) return;
  close(it.output);
  it.output = -1;
}

/* Mostly when it has written all; one that it has started may go on to write. */
static void process_ends(void) {
  if (it.exited || (it.output >= 0 && chance(100) != 0)) return;
  it.exited = true;
  streams_drain(&it.process);
  assert(it.process.written[1] == it.written);
}

/* What epoll would do: one that is ready is handled. */
static void agent_turns(void) {
  struct stream *stream = &it.process.streams[chance(2)];
  struct pollfd state = {.fd = stream->watch.fd, .events = (short)stream->watch.events};
  streams_send();
  if (stream->watch.fd >= 0 && stream->watch.events != 0 && poll(&state, 1, 0) == 1)
    stream->watch.ready(&stream->watch, (uint32_t)state.revents);
  if (!tick_asked || chance(3) != 0) return;
  tick_asked = false;
  streams_tick();
}

static void step(uint32_t number) {
  if (number < 3) host_sends();
  else if (number < 5) host_reads();
  else if (number < 7) host_allows();
  else if (number < 9) process_reads();
  else if (number < 13) process_writes();
  else if (number < 16) process_ends();
  else agent_turns();
}

/* One life. Each sort of step has a weight of its own, so that in some lives one side is slow or rushes ahead. */
static void live(void) {
  uint32_t weights[20], all = 0;
  memset(&it, 0, sizeof(it));
  it.process.handle = 7;
  it.process.streams[2].watch.fd = -1;
  it.input_size = chance(MOST);
  it.output_size = chance(MOST);
  open_pipe(0, &it.input);
  open_pipe(1, &it.output);
  host_changes();
  for (int i = 0; i < 20; i++) all += weights[i] = 1 + chance(8) * chance(4);
  for (long steps = 0; !it.input_ended || !it.output_ended || !it.exited; steps++) {
    uint32_t at = chance(all), number = 0;
    assert(steps < 1000 * 1000);
    while (at >= weights[number]) at -= weights[number++];
    step(number);
    if (chance(2000) == 0 && !it.end_sent) host_changes();
  }
  assert(it.taken == it.input_size && it.received == it.output_size);
  close(it.input);
  stream_close(&it.process.streams[0]);
  stream_close(&it.process.streams[1]);
}

int main(int count, char **arguments) {
  long rounds = count > 1 ? strtol(arguments[1], NULL, 10) : 100;
  chance_seed(count > 2 ? strtoull(arguments[2], NULL, 10) : 1);
  signal(SIGPIPE, SIG_IGN);
  for (long i = 0; i < rounds; i++) live();
  buffer_free(&port_queue);
  printf("fine: %ld rounds\n", rounds);
  return 0;
}

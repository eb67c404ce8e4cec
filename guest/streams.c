/* Bytes between the port and pipes, terminals and sockets. Nobody gets more than it allowed, nothing is lost. */
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "agent.h"

#define QUEUE_ENOUGH (96 * 1024) /* what waits at the port; more data would only make replies late */

#define SMALL (16 * 1024)
#define REST_MS 1

static struct stream *streams;

static size_t held(const struct stream *stream) { return (size_t)(stream->end - stream->base); }

/* The part of the ring from the count `from` on that lies in one piece. */
static uint8_t *piece(struct stream *stream, uint64_t from, size_t *size) {
  size_t at = (size_t)(from % STREAM_ROOM);
  if (*size > STREAM_ROOM - at) *size = STREAM_ROOM - at;
  return stream->ring + at;
}

static bool need_ring(struct stream *stream) {
  if (stream->ring == NULL) stream->ring = malloc(STREAM_ROOM);
  return stream->ring != NULL;
}

/* One that will be used again is kept: its memory would have to be cleared each time. */
static void drop_empty_ring(struct stream *stream) {
  if (held(stream) > 0 || !stream->ended) return;
  free(stream->ring);
  stream->ring = NULL;
}

/* From the guest: reads while there is room. */
static void watch_output(struct stream *stream) {
  watch_set(&stream->watch, held(stream) < STREAM_ROOM ? EPOLLIN : 0);
}

/*
 * A writer of small pieces would wake this process, and the host, for each. After one piece it is left alone for a
 * moment, in which the next ones gather in the pipe; the first goes at once, so nobody notices.
 */
static void rest(struct stream *stream) {
  watch_set(&stream->watch, 0);
  stream->resting = true;
  tick_in(REST_MS);
}

void streams_tick(void) {
  for (struct stream *each = streams; each != NULL; each = each->next) {
    if (!each->resting) continue;
    each->resting = false;
    if (!each->ended) watch_output(each);
  }
}

/* Reads once. Returns how much came; 0 if nothing is there, or no room for it, or at the end. */
static size_t take_output(struct stream *stream) {
  size_t room = STREAM_ROOM - held(stream);
  /* To read nothing gives 0 too, which is the end only where there was room. */
  if (room == 0 || !need_ring(stream)) return 0;
  uint8_t *at = piece(stream, stream->end, &room);
  ssize_t size = read(stream->watch.fd, at, room);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (size > 0) {
    stream->end += (size_t)size;
    return (size_t)size;
  }
  /* The end; a terminal that nobody holds any more says so by EIO. */
  stream->ended = true;
  watch_close(&stream->watch);
  drop_empty_ring(stream);
  return 0;
}

static void on_output(struct watch *watch, uint32_t events) {
  struct stream *stream = (struct stream *)watch;
  (void)events;
  /* A terminal passes a line on in parts. Whoever logs it wants lines. */
  if (stream->process->terminal && !stream->rested) {
    stream->rested = true;
    return rest(stream);
  }
  stream->rested = false;
  size_t size = take_output(stream);
  if (size == 0) return;
  if (size < SMALL && !stream->process->terminal)
    rest(stream);
  else
    watch_output(stream);
}

/*
 * Takes what an ended process has written, as far as there is room, so that it goes before the news of its end; notes
 * how much there is in all.
 */
void streams_drain(struct process *process) {
  for (int i = 1; i < 3; i++) {
    struct stream *stream = &process->streams[i];
    int left = 0;
    while (stream->watch.fd >= 0 && take_output(stream) > 0) continue;
    /* The rest is read when the host has taken what fills the ring. */
    if (!stream->resting) watch_output(stream);
    if (stream->watch.fd >= 0) ioctl(stream->watch.fd, FIONREAD, &left);
    process->written[i] = stream->end + (uint64_t)left;
  }
  streams_send();
}

static void tell_credit(struct stream *stream) {
  uint8_t credit[16];
  if (!host_is_there) return;
  stream->told = stream->base;
  stream->limit = stream->base + STREAM_ROOM;
  set_u64(credit, stream->end);
  set_u64(credit + 8, stream->limit);
  frame_add(&port_queue, FRAME_CREDIT, stream->id, credit, sizeof(credit));
}

/* To the guest: what came was taken, or will never be. */
static void finish_input(struct stream *stream) {
  if (stream->end_told) return;
  stream->end_told = true;
  if (stream->is_socket && stream->watch.fd >= 0) shutdown(stream->watch.fd, SHUT_WR);
  watch_close(&stream->watch);
  drop_empty_ring(stream);
}

static void refuse_input(struct stream *stream) {
  stream->base = stream->end;
  stream->ended = true;
  finish_input(stream);
  if (host_is_there) frame_add(&port_queue, FRAME_RESET, stream->id, NULL, 0);
}

/* @returns false if nobody reads. */
static bool write_input(struct stream *stream) {
  while (held(stream) > 0 && stream->watch.fd >= 0) {
    size_t size = held(stream);
    uint8_t *at = piece(stream, stream->base, &size);
    ssize_t done = write(stream->watch.fd, at, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) break;
    if (done < 0) {
      refuse_input(stream);
      return false;
    }
    stream->base += (size_t)done;
  }
  if (stream->ended && held(stream) == 0)
    finish_input(stream);
  else
    watch_set(&stream->watch, held(stream) > 0 ? EPOLLOUT : 0);
  return true;
}

static void on_input(struct watch *watch, uint32_t events) {
  struct stream *stream = (struct stream *)watch;
  (void)events;
  if (write_input(stream) && !stream->ended && stream->base - stream->told >= STREAM_ROOM / 4) tell_credit(stream);
}

/* Takes the file over. A stream with `fd` -1 is at its end. */
void stream_open(struct stream *stream, struct process *process, int number, int fd, bool is_socket) {
  bool from_guest = number != 0;
  *stream = (struct stream){
      .watch = {.fd = fd, .ready = from_guest ? on_output : on_input},
      .process = process,
      .next = streams,
      .id = process->handle * 4 + (uint32_t)number,
      .from_guest = from_guest,
      .is_socket = is_socket,
      .ended = fd < 0,
      .end_told = !from_guest && fd < 0,
  };
  streams = stream;
  if (fd < 0) return;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  if (from_guest) watch_output(stream);
}

void stream_close(struct stream *stream) {
  for (struct stream **each = &streams; *each != NULL; each = &(*each)->next) {
    if (*each != stream) continue;
    *each = stream->next;
    break;
  }
  watch_close(&stream->watch);
  free(stream->ring);
  stream->ring = NULL;
}

static struct stream *find(uint32_t id, bool from_guest) {
  for (struct stream *each = streams; each != NULL; each = each->next)
    if (each->id == id && each->from_guest == from_guest) return each;
  return NULL;
}

/* What comes for a stream that is gone is dropped: the host learns of its end by other frames. */
void stream_data(uint32_t id, struct span data) {
  struct stream *stream = find(id, false);
  if (stream == NULL || stream->ended) return;
  if (data.size > STREAM_ROOM - held(stream) || !need_ring(stream)) {
    refuse_input(stream);
    return;
  }
  while (data.size > 0) {
    size_t size = data.size;
    uint8_t *at = piece(stream, stream->end, &size);
    memcpy(at, data.at, size);
    stream->end += size;
    data = (struct span){data.at + size, data.size - size};
  }
  if (write_input(stream)) tell_credit(stream);
}

void stream_end(uint32_t id) {
  struct stream *stream = find(id, false);
  if (stream == NULL || stream->ended) return;
  stream->ended = true;
  write_input(stream);
}

/* For a stream to the guest it asks for the guest's own. */
void stream_credit(uint32_t id, struct span payload) {
  struct stream *stream = find(id, (id & 3) != 0);
  if (stream == NULL || payload.size != 16) return;
  if (!stream->from_guest) {
    if (!stream->ended) tell_credit(stream);
    return;
  }
  uint64_t consumed = get_u64(payload.at);
  if (consumed < stream->base || consumed > stream->end) return;
  stream->base = consumed;
  if (stream->sent < consumed) stream->sent = consumed;
  stream->limit = get_u64(payload.at + 8);
  drop_empty_ring(stream);
  if (!stream->ended && !stream->resting) watch_output(stream);
}

/* The host does not want the rest: closing our end tells the writer, or ends what the process reads. */
void stream_reset(uint32_t id) {
  struct stream *stream = find(id, (id & 3) != 0);
  if (stream == NULL) return;
  stream->base = stream->sent = stream->end;
  if (!stream->from_guest) {
    stream->ended = true;
    finish_input(stream);
    return;
  }
  stream->ended = stream->end_told = true;
  watch_close(&stream->watch);
  drop_empty_ring(stream);
}

/* For a new host: it has to allow anew, and gets again what nobody said to have consumed. */
void streams_rewind(void) {
  for (struct stream *each = streams; each != NULL; each = each->next) {
    if (!each->from_guest) continue;
    each->sent = each->base;
    each->limit = 0;
    each->end_told = false;
  }
}

static bool send_some(struct stream *stream) {
  uint64_t until = stream->limit < stream->end ? stream->limit : stream->end;
  if (stream->sent < until) {
    size_t size = (size_t)(until - stream->sent);
    if (size > MAX_DATA) size = MAX_DATA;
    uint8_t *at = piece(stream, stream->sent, &size);
    frame_add(&port_queue, FRAME_DATA, stream->id, at, size);
    stream->sent += size;
    return true;
  }
  /* A stream that no host has allowed anything since it came is not yet attached to. */
  if (!stream->ended || stream->end_told || stream->sent < stream->end || stream->limit == 0) return false;
  frame_add(&port_queue, FRAME_END, stream->id, NULL, 0);
  stream->end_told = true;
  return true;
}

/* Takes turns until nothing may be sent or enough waits. True if something waits at the port. */
bool streams_send(void) {
  bool any = host_is_there;
  while (any && port_waiting() < QUEUE_ENOUGH) {
    any = false;
    for (struct stream *each = streams; each != NULL && port_waiting() < QUEUE_ENOUGH; each = each->next)
      if (each->from_guest && send_some(each)) any = true;
  }
  return port_waiting() > 0;
}

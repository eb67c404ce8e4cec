/* Frames: see contracts/vm/agent.proto. */
#include <stdlib.h>
#include <string.h>
#include "wire.h"

uint32_t get_u32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

uint64_t get_u64(const uint8_t *at) { return (uint64_t)get_u32(at) << 32 | get_u32(at + 4); }

void set_u32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void set_u64(uint8_t *at, uint64_t value) {
  set_u32(at, (uint32_t)(value >> 32));
  set_u32(at + 4, (uint32_t)value);
}

static bool header_is_sound(const uint8_t *header) {
  return header[0] == FRAME_MARK && header[1] >= FRAME_CALL && header[1] <= FRAME_RESET && header[2] == 0 &&
         header[3] == 0 && get_u32(header + 8) <= MAX_PAYLOAD;
}

/* Forgets the first byte that is held, and all that cannot begin a frame. */
static void skip_to_mark(struct frame_parser *parser) {
  size_t skip = 1;
  while (skip < parser->size && parser->bytes[skip] != FRAME_MARK) skip++;
  parser->lost += skip;
  parser->size -= skip;
  memmove(parser->bytes, parser->bytes + skip, parser->size);
}

static void take(struct frame_parser *parser, struct span *input, size_t wanted) {
  size_t part = wanted - parser->size;
  if (part > input->size) part = input->size;
  memcpy(parser->bytes + parser->size, input->at, part);
  parser->size += part;
  input->at += part;
  input->size -= part;
}

static void skip_padding(struct span *input) {
  while (input->size > 0 && input->at[0] == 0) {
    input->at++;
    input->size--;
  }
}

bool frame_next(struct frame_parser *parser, struct span *input, struct frame *frame) {
  while (input->size > 0 || parser->size >= FRAME_HEADER) {
    if (parser->size == 0) skip_padding(input);
    if (parser->size < FRAME_HEADER) take(parser, input, FRAME_HEADER);
    if (parser->size < FRAME_HEADER) return false;
    if (!header_is_sound(parser->bytes)) {
      skip_to_mark(parser);
      continue;
    }
    size_t length = get_u32(parser->bytes + 8);
    if (parser->size < length + FRAME_OVERHEAD) take(parser, input, length + FRAME_OVERHEAD);
    if (parser->size < length + FRAME_OVERHEAD) return false;
    parser->size = 0;
    if (parser->bytes[FRAME_HEADER + length] != FRAME_FINISH) {
      parser->lost += length + FRAME_OVERHEAD;
      continue;
    }
    *frame = (struct frame){parser->bytes[1], get_u32(parser->bytes + 4), {parser->bytes + FRAME_HEADER, length}};
    return true;
  }
  return false;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t size) {
  if (buffer->failed || size == 0) return;
  if (size > buffer->limit || buffer->size > buffer->limit - size) {
    buffer->failed = true;
    return;
  }
  if (buffer->size + size > buffer->room) {
    size_t room = buffer->room == 0 ? 256 : buffer->room;
    while (room < buffer->size + size) room *= 2;
    uint8_t *moved = realloc(buffer->at, room);
    if (moved == NULL) {
      buffer->failed = true;
      return;
    }
    buffer->at = moved;
    buffer->room = room;
  }
  memcpy(buffer->at + buffer->size, bytes, size);
  buffer->size += size;
}

void buffer_free(struct buffer *buffer) {
  free(buffer->at);
  *buffer = (struct buffer){.limit = buffer->limit};
}

void frame_add(struct buffer *out, uint8_t type, uint32_t id, const void *payload, size_t size) {
  uint8_t header[FRAME_HEADER] = {FRAME_MARK, type};
  const uint8_t finish = FRAME_FINISH;
  set_u32(header + 4, id);
  set_u32(header + 8, (uint32_t)size);
  size_t before = out->size;
  buffer_add(out, header, sizeof(header));
  buffer_add(out, payload, size);
  buffer_add(out, &finish, 1);
  if (out->failed) out->size = before;
}

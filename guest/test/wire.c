/*
 * Tests and fuzzing of what parses the host's bytes. Two forms: with LLVM's fuzzer by LLVMFuzzerTestOneInput, or with a
 * loop of our own (SELF_DRIVEN): `wire ROUNDS SEED` mutates sound frames and cuts them anywhere. Built with
 * address and undefined-behaviour sanitizers, which end it at the first mistake.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../wire.h"
#include "chance.h"

struct probe {
  char text[64];
  uint32_t small;
  uint64_t large;
  bool flag;
  struct span bytes;
  struct list list;
};

static const struct rule rules[] = {
    RULE(probe, 1, RULE_TEXT, text),  RULE(probe, 2, RULE_U32, small),  RULE(probe, 3, RULE_U64, large),
    RULE(probe, 4, RULE_BOOL, flag),  RULE(probe, 5, RULE_SPAN, bytes), RULE(probe, 6, RULE_LIST, list),
};

static uint64_t seen;

/* Reads every byte that a message points to: outside of the frame would be found. */
static void touch(struct span bytes) {
  for (size_t i = 0; i < bytes.size; i++) seen += bytes.at[i];
}

static void use_message(struct span message, int depth) {
  static struct probe probes[4];
  struct probe *probe = &probes[depth];
  if (!READ(message, rules, probe)) return;
  assert(strlen(probe->text) < sizeof(probe->text));
  assert(probe->list.count <= MAX_LIST);
  touch(probe->bytes);
  for (size_t i = 0; depth < 3 && i < probe->list.count; i++) use_message(probe->list.items[i], depth + 1);
}

static void use_frame(const struct frame *frame) {
  struct span rest = frame->payload;
  struct field field;
  assert(frame->type >= FRAME_CALL && frame->type <= FRAME_RESET && frame->payload.size <= MAX_PAYLOAD);
  touch(frame->payload);
  use_message(frame->payload, 0);
  while (field_next(&rest, &field) == 1) touch(field.bytes);
}

/* Hands the bytes over in pieces, each in memory of its own size. @returns how many frames came out. */
static int feed(struct frame_parser *parser, const uint8_t *bytes, size_t size, size_t piece) {
  struct frame frame;
  int count = 0;
  for (size_t at = 0; at < size; at += piece) {
    size_t part = size - at < piece ? size - at : piece;
    uint8_t *copy = malloc(part);
    memcpy(copy, bytes + at, part);
    struct span input = {copy, part};
    for (; frame_next(parser, &input, &frame); count++) use_frame(&frame);
    assert(input.size == 0);
    free(copy);
  }
  return count;
}

static struct frame_parser new_parser(void) {
  return (struct frame_parser){.bytes = malloc(FRAME_OVERHEAD + MAX_PAYLOAD)};
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct frame_parser parser = new_parser();
  feed(&parser, bytes, size, size > 0 ? 1 + bytes[0] : 1);
  free(parser.bytes);
  return 0;
}

#ifdef SELF_DRIVEN
static void write_message(struct buffer *out, int depth) {
  char text[80];
  memset(text, 'x', sizeof(text));
  text[chance(sizeof(text))] = 0;
  text[sizeof(text) - 1] = 0;
  put_text(out, 1, text);
  put_number(out, 2, chance(1000));
  put_number(out, 3, chance_state);
  put_number(out, 4, chance(2));
  put_bytes(out, 5, text, chance(sizeof(text)));
  for (uint32_t i = chance(4); depth < 3 && i > 0; i--) {
    struct buffer inner = {.limit = 4096};
    write_message(&inner, depth + 1);
    put_bytes(out, 6, inner.at, inner.size);
    buffer_free(&inner);
  }
}

static void write_frames(struct buffer *out, uint32_t count) {
  for (; count > 0; count--) {
    struct buffer payload = {.limit = MAX_PAYLOAD};
    write_message(&payload, 0);
    frame_add(out, (uint8_t)(1 + chance(7)), chance(100), payload.at, payload.size);
    buffer_free(&payload);
  }
}

/* What was written is read again, however it is cut, with zeros between. */
static void test_round_trip(void) {
  static const size_t pieces[] = {1, 2, 11, 12, 13, 100, 1 << 20};
  for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
    struct buffer out = {.limit = 1 << 22};
    struct frame_parser parser = new_parser();
    uint8_t zeros[50] = {0};
    write_frames(&out, 10);
    buffer_add(&out, zeros, sizeof(zeros));
    write_frames(&out, 10);
    assert(feed(&parser, out.at, out.size, pieces[i]) == 20 && parser.lost == 0);
    free(parser.bytes);
    buffer_free(&out);
  }
}

/* A frame that breaks off is dropped when zeros fill it up, wherever it broke off, and the next one is read. */
static void test_broken_off(void) {
  struct buffer one = {.limit = 1 << 22};
  write_frames(&one, 1);
  uint8_t *zeros = calloc(1, MAX_PAYLOAD + FRAME_OVERHEAD);
  for (size_t cut = 1; cut < one.size; cut++) {
    struct frame_parser parser = new_parser();
    assert(feed(&parser, one.at, cut, 4096) == 0);
    assert(feed(&parser, zeros, MAX_PAYLOAD + FRAME_OVERHEAD, 65536) == 0);
    assert(feed(&parser, one.at, one.size, 4096) == 1);
    free(parser.bytes);
  }
  free(zeros);
  buffer_free(&one);
}

static void test_limits(void) {
  struct buffer out = {.limit = 100};
  uint8_t bytes[200] = {0};
  buffer_add(&out, bytes, 60);
  buffer_add(&out, bytes, 60);
  assert(out.failed && out.size == 60);
  buffer_free(&out);
  struct frame_parser parser = new_parser();
  uint8_t huge[FRAME_HEADER] = {FRAME_MARK, FRAME_CALL, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF};
  assert(feed(&parser, huge, sizeof(huge), 5) == 0 && parser.size < FRAME_HEADER);
  free(parser.bytes);
}

int main(int count, char **arguments) {
  long rounds = count > 1 ? strtol(arguments[1], NULL, 10) : 1000;
  chance_seed(count > 2 ? strtoull(arguments[2], NULL, 10) : 1);
  test_round_trip();
  test_broken_off();
  test_limits();
  struct frame_parser parser = new_parser();
  for (long i = 0; i < rounds; i++) {
    struct buffer out = {.limit = 1 << 20};
    write_frames(&out, 1 + chance(3));
    out.size = mutate(out.at, out.size);
    feed(&parser, out.at, out.size, 1 + chance(300));
    buffer_free(&out);
  }
  free(parser.bytes);
  printf("fine: %ld rounds, %llu\n", rounds, (unsigned long long)seen);
  return 0;
}
#endif

/* The protocol's bytes: frames and protobuf. Pure functions of memory, so that tests and the fuzzer can run them. */
#ifndef SKIFF_WIRE_H
#define SKIFF_WIRE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_type {
  FRAME_CALL = 1,
  FRAME_REPLY = 2,
  FRAME_EVENT = 3,
  FRAME_DATA = 4,
  FRAME_END = 5,
  FRAME_CREDIT = 6,
  FRAME_RESET = 7,
};

#define FRAME_MARK 0xA5
#define FRAME_FINISH 0x5A
#define FRAME_HEADER 12
#define FRAME_OVERHEAD (FRAME_HEADER + 1)
#define MAX_PAYLOAD (256 * 1024)
#define MAX_DATA (32 * 1024)

/* Bytes that somebody else owns. */
struct span {
  const uint8_t *at;
  size_t size;
};

struct frame {
  uint8_t type;
  uint32_t id;
  struct span payload;
};

/* Collects bytes until a frame is whole. `lost` counts bytes that belonged to none. */
struct frame_parser {
  uint8_t *bytes; /* FRAME_OVERHEAD + MAX_PAYLOAD of them */
  size_t size;
  uint64_t lost;
};

/* Takes some of `input`, which moves on; true when `frame` is whole, valid until the next call. */
bool frame_next(struct frame_parser *parser, struct span *input, struct frame *frame);

/* Memory that grows; `failed` once it could not, or would be over its limit. */
struct buffer {
  uint8_t *at;
  size_t size, room, limit;
  bool failed;
};

void buffer_add(struct buffer *buffer, const void *bytes, size_t size);
void buffer_free(struct buffer *buffer);
void frame_add(struct buffer *out, uint8_t type, uint32_t id, const void *payload, size_t size);

/* Protobuf, written. Fields with the value 0 are left out, as proto3 has it. */
void put_number(struct buffer *out, uint32_t field, uint64_t value);
void put_bytes(struct buffer *out, uint32_t field, const void *bytes, size_t size);
void put_text(struct buffer *out, uint32_t field, const char *text);
/* Puts a message into another, and frees it. */
void put_message(struct buffer *out, uint32_t field, struct buffer *message);

/* Protobuf, read. */
struct field {
  uint32_t number;
  bool is_bytes;
  uint64_t value;
  struct span bytes;
};

/* Reads the next field: 1, or 0 at the end, or -1 for garbage. */
int field_next(struct span *message, struct field *field);

enum rule_kind { RULE_U32, RULE_U64, RULE_BOOL, RULE_TEXT, RULE_SPAN, RULE_LIST };

#define MAX_LIST 64
struct list {
  size_t count;
  struct span items[MAX_LIST];
};

/* Where a field of a message goes. TEXT is copied into an array of `room` bytes, and holds no zero byte. */
struct rule {
  uint32_t number;
  enum rule_kind kind;
  size_t offset, room;
};

/* Zeroes `size` bytes of `target`, then reads a message into it. False for garbage, or what is too long or too many. */
bool message_read(struct span message, const struct rule *rules, size_t count, void *target, size_t size);

#define RULE(type, number, kind, member) {number, kind, offsetof(struct type, member), sizeof(((struct type *)0)->member)}
#define READ(message, rules, target) \
  message_read(message, rules, sizeof(rules) / sizeof(rules[0]), target, sizeof(*(target)))

uint64_t get_u64(const uint8_t *at);
uint32_t get_u32(const uint8_t *at);
void set_u64(uint8_t *at, uint64_t value);
void set_u32(uint8_t *at, uint32_t value);

#endif

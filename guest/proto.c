/* As much of protobuf as the protocol needs: varints and bytes. */
#include <string.h>
#include "wire.h"

static void put_varint(struct buffer *out, uint64_t value) {
  uint8_t bytes[10];
  size_t size = 0;
  for (; value >= 0x80; value >>= 7) bytes[size++] = (uint8_t)(value | 0x80);
  bytes[size++] = (uint8_t)value;
  buffer_add(out, bytes, size);
}

void put_number(struct buffer *out, uint32_t field, uint64_t value) {
  if (value == 0) return;
  put_varint(out, (uint64_t)field << 3);
  put_varint(out, value);
}

void put_bytes(struct buffer *out, uint32_t field, const void *bytes, size_t size) {
  put_varint(out, (uint64_t)field << 3 | 2);
  put_varint(out, size);
  buffer_add(out, bytes, size);
}

void put_text(struct buffer *out, uint32_t field, const char *text) {
  if (text[0] != 0) put_bytes(out, field, text, strlen(text));
}

void put_message(struct buffer *out, uint32_t field, struct buffer *message) {
  put_bytes(out, field, message->at, message->size);
  buffer_free(message);
}

static bool take_varint(struct span *message, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (message->size == 0) return false;
    uint8_t byte = *message->at++;
    message->size--;
    *value |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

static bool take_bytes(struct span *message, uint64_t size, struct span *bytes) {
  if (size > message->size) return false;
  *bytes = (struct span){message->at, (size_t)size};
  message->at += size;
  message->size -= (size_t)size;
  return true;
}

int field_next(struct span *message, struct field *field) {
  uint64_t tag, size;
  if (message->size == 0) return 0;
  *field = (struct field){0};
  if (!take_varint(message, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) return -1;
  field->number = (uint32_t)(tag >> 3);
  switch (tag & 7) {
    case 0:
      return take_varint(message, &field->value) ? 1 : -1;
    case 1:
      return take_bytes(message, 8, &field->bytes) ? 1 : -1;
    case 2:
      field->is_bytes = true;
      return take_varint(message, &size) && take_bytes(message, size, &field->bytes) ? 1 : -1;
    case 5:
      return take_bytes(message, 4, &field->bytes) ? 1 : -1;
    default:
      return -1;
  }
}

static bool store_bytes(const struct rule *rule, struct span bytes, void *at) {
  if (rule->kind == RULE_TEXT) {
    if (bytes.size >= rule->room || memchr(bytes.at, 0, bytes.size) != NULL) return false;
    memcpy(at, bytes.at, bytes.size);
    ((char *)at)[bytes.size] = 0;
  } else if (rule->kind == RULE_SPAN) {
    *(struct span *)at = bytes;
  } else {
    struct list *list = at;
    if (list->count == MAX_LIST) return false;
    list->items[list->count++] = bytes;
  }
  return true;
}

static bool store(const struct rule *rule, const struct field *field, void *target) {
  void *at = (uint8_t *)target + rule->offset;
  bool wants_bytes = rule->kind == RULE_TEXT || rule->kind == RULE_SPAN || rule->kind == RULE_LIST;
  if (wants_bytes != field->is_bytes) return false;
  if (wants_bytes) return store_bytes(rule, field->bytes, at);
  if (rule->kind == RULE_U64) {
    *(uint64_t *)at = field->value;
  } else if (rule->kind == RULE_BOOL) {
    *(bool *)at = field->value != 0;
  } else {
    if (field->value > UINT32_MAX) return false;
    *(uint32_t *)at = (uint32_t)field->value;
  }
  return true;
}

bool message_read(struct span message, const struct rule *rules, size_t count, void *target, size_t size) {
  struct field field;
  int result;
  memset(target, 0, size);
  while ((result = field_next(&message, &field)) == 1) {
    for (size_t i = 0; i < count; i++)
      if (rules[i].number == field.number && !store(&rules[i], &field, target)) return false;
  }
  return result == 0;
}

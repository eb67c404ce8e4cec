/* A program is a row of steps: a byte that names the step, then what it takes. The host's steps.ts has the same numbers. */
#include <stdlib.h>
#include <string.h>
#include "launch.h"

static const uint8_t *take(struct launch *it, uint64_t size) {
  if (size > (uint64_t)(it->code.end - it->code.at)) stop(0, "the program that starts the container is cut off");
  const uint8_t *at = it->code.at;
  it->code.at += size;
  return at;
}

/* Eight bytes, the lowest first. */
uint64_t take_number(struct launch *it) {
  uint64_t number;
  memcpy(&number, take(it, sizeof(number)), sizeof(number));
  return number;
}

/* Up to a zero byte. */
const char *take_text(struct launch *it) {
  size_t left = (size_t)(it->code.end - it->code.at);
  const uint8_t *zero = left == 0 ? NULL : memchr(it->code.at, 0, left);
  return (const char *)take(it, zero == NULL ? left + 1 : (uint64_t)(zero - it->code.at) + 1);
}

/* Their number, then the bytes. */
struct code take_bytes(struct launch *it) {
  uint64_t size = take_number(it);
  const uint8_t *at = take(it, size);
  return (struct code){at, at + size};
}

/* Their number, then the texts. @returns a list that ends with NULL, with room for `spare` more. */
char **take_texts(struct launch *it, size_t spare) {
  uint64_t count = take_number(it);
  if (count > (uint64_t)(it->code.end - it->code.at)) take(it, count);
  char **list = calloc((size_t)count + spare + 1, sizeof(*list));
  must(list != NULL, "keep a list of texts");
  for (uint64_t i = 0; i < count; i++) list[i] = (char *)take_text(it);
  return list;
}

static void step_include(struct launch *it) {
  struct code rest = it->code;
  uint64_t number = take_number(it);
  if (number >= MAX_KEPT) stop(0, "the program includes what there is not");
  if (it->included) stop(0, "the program includes what includes more");
  rest.at = it->code.at;
  it->code = it->loaded[number];
  it->included = true;
  run_steps(it);
  it->included = false;
  it->code = rest;
}

static void (*const steps[])(struct launch *) = {
    NULL,          step_group,    step_limit,     step_devices,      step_join,       step_keep,
    step_load,     step_clone,    step_enter,     step_unshare,      step_write,      step_spread,
    step_root,     step_mount,    step_device,    step_link,         step_mask,       step_protect,
    step_terminal, step_pivot,    step_seal,      step_resource,     step_environment, step_home,
    step_arguments, step_directory, step_user,    step_bound,        step_capabilities, step_no_new_privileges,
    step_filter,   step_find,     step_wait,      step_run,          step_include,     step_make,
};

/* Does steps to the end; the parent's end at the new process, which does the others. */
void run_steps(struct launch *it) {
  bool cloned = it->cloned;
  while (it->code.at < it->code.end && it->cloned == cloned) {
    uint8_t number = *take(it, 1);
    if (number >= sizeof(steps) / sizeof(steps[0]) || steps[number] == NULL)
      stop(0, "the program has a step that there is not: %u", number);
    steps[number](it);
  }
}

/* Numbers that look random and are the same for the same seed, so that what a test found can be had again. */
#ifndef SKIFF_CHANCE_H
#define SKIFF_CHANCE_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static uint64_t chance_state = 1;

static inline void chance_seed(uint64_t seed) { chance_state = seed == 0 ? 1 : seed; }

/* @returns a number below `below`, by xorshift64. */
static inline uint32_t chance(uint32_t below) {
  chance_state ^= chance_state << 13;
  chance_state ^= chance_state >> 7;
  chance_state ^= chance_state << 17;
  return (uint32_t)(chance_state >> 16) % below;
}

/* Changes some of `bytes`, and may cut them short. @returns how many there are now. */
static inline size_t mutate(uint8_t *bytes, size_t size) {
  for (uint32_t i = chance(8); i > 0 && size > 0; i--) {
    uint32_t at = chance((uint32_t)size);
    switch (chance(4)) {
      case 0: bytes[at] = (uint8_t)chance(256); break;
      case 1: bytes[at] ^= (uint8_t)(1 << chance(8)); break;
      case 2: size = at; break;
      default: memmove(bytes + at, bytes + at / 2, size - at); break;
    }
  }
  return size;
}

#endif

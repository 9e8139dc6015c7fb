/* A policy in a C program: reads a blob and, from standard input, observations; prints an action for each.
 *
 *   c++ -std=c++20 -O2 -fno-exceptions -fno-rtti -c meander_policy.cpp
 *   cc -c act.c && cc act.o meander_policy.o -o act
 *   ./act policy.mpol < observations.txt */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meander_policy.h"

/* The whole file, at a multiple of 64 bytes. */
static void *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  void *bytes = NULL;
  long length;
  if (!file) return NULL;
  if (fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) > 0) {
    *size = (size_t)length;
    rewind(file);
    if (posix_memalign(&bytes, 64, *size) != 0) bytes = NULL;
    if (bytes && fread(bytes, 1, *size, file) != *size) {
      free(bytes);
      bytes = NULL;
    }
  }
  fclose(file);
  return bytes;
}

static int refuse(const char *what, meander_status status) {
  fprintf(stderr, "%s: %s\n", what, meander_status_text(status));
  return 1;
}

int main(int count, char **words) {
  meander_policy policy;
  meander_status status;
  meander_noise noise = {0, 0, MEANDER_EVALUATE};
  size_t size = 0, room_size;
  void *room = NULL, *blob;
  float *observation, *action, difference;
  uint32_t i;

  if (count != 2) {
    fprintf(stderr, "usage: act policy.mpol < observations\n");
    return 2;
  }
  blob = read_file(words[1], &size);
  if (!blob) {
    fprintf(stderr, "%s: %s\n", words[1], errno ? strerror(errno) : "is empty");
    return 1;
  }
  status = meander_policy_open(&policy, blob, size, 1);
  if (status != MEANDER_OK) return refuse(words[1], status);

  room_size = meander_workspace_size(&policy, 0);
  observation = malloc(policy.observations * sizeof *observation);
  action = malloc(policy.chunk * policy.actions * sizeof *action);
  if (posix_memalign(&room, 64, room_size) != 0 || !observation || !action) {
    fprintf(stderr, "out of memory\n");
    return 1;
  }
  status = meander_policy_test(&policy, room, room_size, &difference);
  if (status != MEANDER_OK) return refuse("self-test", status);
  fprintf(stderr, "%u observations, %u actions in chunks of %u, by %s; self-test passed\n",
          (unsigned)policy.observations, (unsigned)policy.actions, (unsigned)policy.chunk, meander_isa(&policy));

  for (;; ++noise.step) { /* the name of a step's noise: as evaluations with seed 0 count in their first episode */
    for (i = 0; i < policy.observations && scanf("%f", &observation[i]) == 1; ++i) {}
    if (i == 0) break;
    if (i < policy.observations) {
      fprintf(stderr, "the last observation has %u numbers\n", (unsigned)i);
      return 1;
    }
    status = meander_act(&policy, room, room_size, observation, noise, 0, action, NULL);
    if (status != MEANDER_OK) return refuse("act", status);
    for (i = 0; i < policy.chunk * policy.actions; ++i) printf(i ? " %.9g" : "%.9g", (double)action[i]);
    printf("\n");
  }
  free(action);
  free(observation);
  free(room);
  free(blob);
  return 0;
}

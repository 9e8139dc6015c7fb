/* A control loop at 1 kHz: memory locked, real-time priority where the system allows it, and a histogram of how late
 * each step woke and how long each decision took.
 *
 *   ./control_loop policy.mpol [seconds] */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "meander_policy.h"

enum { period = 1000000 /* ns */, bins = 12, most_numbers = 512 };

/* Everything that the loop touches, there before it begins. */
static _Alignas(64) unsigned char room[1 << 20];
static float observation[most_numbers], action[most_numbers], command[most_numbers], plan[most_numbers];

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* bin i: below 2^i us */
static void count(unsigned long *histogram, long long ns, long long *worst) {
  int i = 0;
  while (i < bins - 1 && ns >= (1000LL << i)) ++i;
  ++histogram[i];
  if (ns > *worst) *worst = ns;
}

int main(int words, char **word) {
  const long steps = (words > 2 ? strtol(word[2], NULL, 10) : 10) * 1000;
  unsigned long late[bins] = {0}, took[bins] = {0}, missed = 0, failed = 0;
  long long worst_late = 0, worst_took = 0, next;
  const struct sched_param priority = {.sched_priority = 80};
  meander_chunk chunk = {plan, 0};
  meander_policy policy;
  meander_status status;
  struct stat file;
  const int descriptor = words > 1 ? open(word[1], O_RDONLY) : -1;
  if (descriptor < 0 || fstat(descriptor, &file) != 0) {
    fprintf(stderr, "usage: control_loop policy.mpol [seconds]%s%s\n", words > 1 ? ": " : "",
            words > 1 ? strerror(errno) : "");
    return 2;
  }
  const void *blob = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0);
  status = blob == MAP_FAILED ? MEANDER_TRUNCATED : meander_policy_open(&policy, blob, (size_t)file.st_size, 1);
  if (status == MEANDER_OK && (policy.observations > most_numbers || policy.chunk * policy.actions > most_numbers ||
                               meander_workspace_size(&policy, 0) > sizeof room))
    status = MEANDER_SMALL_WORKSPACE;
  if (status == MEANDER_OK) status = meander_policy_test(&policy, room, sizeof room, NULL);
  if (status != MEANDER_OK) {
    fprintf(stderr, "%s: %s\n", word[1], meander_status_text(status));
    return 1;
  }
  printf("memory %s, priority %s\n", mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? "locked" : "not locked (no permission)",
         sched_setscheduler(0, SCHED_FIFO, &priority) == 0 ? "real-time" : "usual (no permission)");

  next = now();
  for (long step = 0; step < steps; ++step) {
    struct timespec until;
    long long woke, done;
    next += period;
    until.tv_sec = next / 1000000000LL, until.tv_nsec = next % 1000000000LL;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
    woke = now();

    /* Sensors would be read here. What stands in for them moves, so that no step is like another. */
    for (uint32_t i = 0; i < policy.observations; ++i)
      observation[i] = 0.5f * observation[i] + 0.1f * (float)((step * 7 + (long)i * 13) % 11 - 5);
    const meander_noise noise = {0, (uint64_t)step, MEANDER_EVALUATE};
    status = meander_next_action(&policy, &chunk, room, sizeof room, observation, noise, 0, action);
    if (status != MEANDER_OK) ++failed; /* the action is the fallback: here the robot would be brought to rest */
    meander_scale_action(&policy, action, command);
    /* And motors driven by `command`. */

    done = now();
    count(late, woke - next, &worst_late);
    count(took, done - woke, &worst_took);
    if (done > next + period) {
      ++missed;
      next = done; /* a step that is late doesn't make the next ones late too */
    }
  }

  printf("%-12s %10s %10s\n", "below", "woke late", "decided in");
  for (int i = 0; i < bins; ++i)
    if (late[i] || took[i]) {
      if (i < bins - 1) printf("%5d us     ", 1 << i);
      else printf("longer      ");
      printf(" %10lu %10lu\n", late[i], took[i]);
    }
  printf("%ld steps, longest: woke %.1f us late, decided in %.1f us; %lu periods missed, %lu decisions failed\n", steps,
         (double)worst_late / 1e3, (double)worst_took / 1e3, missed, failed);
  return failed ? 1 : 0;
}

#pragma once

#include <meander/app/verbs.h>

namespace meander {

// OGBench's play data of cube-single-play, cube-double-play or cube-triple-play (options.environment): the scripted
// policy of envs/cube_play.h in `options.episodes` episodes of 1001 steps, one on each thread. Writes the arrays of
// OGBench's own files: observations [N, S], actions [N, 5], qpos [N, nq], qvel [N, nv] (float32) and terminals [N]
// (bool), a row a step.
//
// Each finished episode is a file in the folder OUT.episodes until all are there, so the same command goes on where it
// was stopped. An episode depends on the seed and its number alone.
// Returns the exit status. Throws Error if the options do not fit or OUT cannot be written.
int collect_play(const CollectOptions& options);

}  // namespace meander

#pragma once

namespace meander {

// The command line with every verb, as the program `meander` has it: reads the line, calls the verb (app/verbs.h), and
// turns what that throws into one line and an exit status: 2 for bad input, 1 for another failure.
//
// A program of your own gives its environments and algorithms all verbs (train, eval, collect, plot, sweep and so
// on) by
//     int main(int argc, char** argv) {
//       meander::register_environment("Mine", [](const std::string&) { return std::make_unique<Mine>(); });
//       return meander::command(argc, argv);
//     }
// A sweep starts this program again for each run, so whatever it needs is to be registered before, for any command
// line.
int command(int argc, char** argv);

}  // namespace meander

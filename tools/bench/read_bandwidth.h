// How fast this machine reads memory that is in no cache, with all the threads that operations use:
// the bound of a decode step on the CPU.
//
// Threads: one. Cost: 256 MiB for a moment, under a second. Errors: none.
#pragma once

namespace plimsoll {

// Bytes per second, of the best of a few rounds.
double MeasureReadBandwidth();

}  // namespace plimsoll

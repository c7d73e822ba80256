// Where a kernel begins to depend on the launches before it.
//
// NVIDIA's GPUs from Hopper on can start a launch while the one before it still runs, so that its threads are there when that
// ends. A kernel may use the time: what no launch writes, such as weights, can be asked for before the wait; what launches
// write must not be read, and nothing may be written. A kernel that does not say where it waits does so when it begins.
#pragma once

// Lets the launch after this one begin before this one has waited. (Without this it begins when this one's wait is over.) It helps
// where that has much to ask for that no launch of the step writes.
inline void let_next_begin() {
#ifdef MSL_PTX
    msl_let_next_begin();
#endif
}

// From here on, everything is done that was launched before. Called once, by all threads of a threadgroup, before any of them
// ends; threadgroups that find nothing to do may end without it, as long as one is left that calls it.
inline void after_earlier_launches() {
#ifdef MSL_PTX
    msl_after_earlier_launches();
#endif
}

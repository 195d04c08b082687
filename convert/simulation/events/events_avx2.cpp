#include "events.cpp"  // One object file for each instruction set: compiled at the same time

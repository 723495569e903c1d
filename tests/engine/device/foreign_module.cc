// A library that is there and loads but is no CUDA module.
extern "C" int NothingOfOurs(void);
extern "C" int NothingOfOurs(void) { return 0; }

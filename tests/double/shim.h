// What a CUDA compiler gives and g++ does not: enough to run kernels.cu on a CPU, blocks one after another.
#include <barrier>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <vector>
using namespace std;
struct Index { unsigned x, y; };
static thread_local Index threadIdx, blockIdx;
static Index blockDim, gridDim;
#define __global__
#define __device__
#define __shared__
alignas(16) double shared_memory[1 << 16];
static barrier<> *meeting;
static int removed_barrier = -1;  // number of the __syncthreads, in order of appearance, that is left out
static void synchronise(int which) { if (blockDim.x > 1 && which != removed_barrier) meeting->arrive_and_wait(); }
#define __syncthreads() synchronise(__COUNTER__)

template <typename Body>
static void launch(unsigned columns, unsigned rows, unsigned threads, Body body) {
  gridDim = {columns, rows}; blockDim = {threads, 1};
  for (unsigned row = 0; row < rows; ++row)
    for (unsigned column = 0; column < columns; ++column) {
      if (threads == 1) { threadIdx = {0, 0}; blockIdx = {column, row}; body(); continue; }
      barrier<> together(threads); meeting = &together;
      vector<thread> block;
      for (unsigned t = 0; t < threads; ++t)
        block.emplace_back([=] { threadIdx = {t, 0}; blockIdx = {column, row}; body(); });
      for (thread &each : block) each.join();
    }
}

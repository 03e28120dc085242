// The CUDA kernels of the core. backprop/kernels.py compiles and launches them; NumPy twins are in backend.py.
//
// `real` is float or double, chosen by -DREAL=... at compile time. Every array is contiguous. Every loop is
// strided by the block or the grid, so any block size is legal, one thread included: that is how the tests run
// this same file on a CPU (tests/double/shim.h), against NumPy and under ThreadSanitizer.
//
// T trials, B batch, D inputs, H hidden, C outputs. Sizes are int; offsets into arrays are long long.

typedef REAL real;

// Numbers of the activations; the same as ACTIVATION_CODES in kernels.py.
enum { IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, GELU, SILU };

#define LEAKY_RELU_SLOPE real(0.01)
#define SQRT_HALF real(0.70710678118654752440)
#define INVERSE_SQRT_TWO_PI real(0.39894228040143267794)

__device__ inline real sigmoid(real z) { return real(0.5) * tanh(real(0.5) * z) + real(0.5); }

// Written with `z < 0`, not fmax, so that a NaN comes through and a divergence is seen.
__device__ inline real value(int sigma, real z) {
  switch (sigma) {
    case SIGMOID: return sigmoid(z);
    case TANH: return tanh(z);
    case RELU: return z < 0 ? real(0) : z;
    case LEAKY_RELU: return z < 0 ? LEAKY_RELU_SLOPE * z : z;
    case ELU: return z < 0 ? expm1(z) : z;
    case SOFTPLUS: return (z < 0 ? real(0) : z) + log1p(exp(z < 0 ? z : -z));
    case GELU: return z * real(0.5) * (real(1) + erf(z * SQRT_HALF));
    case SILU: return z * sigmoid(z);
    default: return z;
  }
}

__device__ inline real derivative(int sigma, real z, real h) {
  switch (sigma) {
    case SIGMOID: return h * (real(1) - h);
    case TANH: return real(1) - h * h;
    case RELU: return z > 0 ? real(1) : real(0);
    case LEAKY_RELU: return z > 0 ? real(1) : LEAKY_RELU_SLOPE;
    case ELU: return h > 0 ? real(1) : real(1) + h;
    case SOFTPLUS: return -expm1(-h);
    case GELU: return real(0.5) * (real(1) + erf(z * SQRT_HALF)) + z * exp(real(-0.5) * z * z) * INVERSE_SQRT_TWO_PI;
    case SILU: { real s = sigmoid(z); return s + h * (real(1) - s); }
    default: return real(1);
  }
}

// The block's shared memory; its size is given at launch.
extern __shared__ double shared_memory[];

// Sum of every thread's `mine`, the same on all threads; `scratch` has blockDim.x entries. Any block size.
template <typename number>
__device__ number block_sum(number mine, number *scratch) {
  int me = threadIdx.x, threads = blockDim.x;
  scratch[me] = mine;
  __syncthreads();
  for (int apart = 1; apart < threads; apart *= 2) {
    if (me % (2 * apart) == 0 && me + apart < threads) scratch[me] += scratch[me + apart];
    __syncthreads();
  }
  number total = scratch[0];
  __syncthreads();  // scratch is written again by the next call
  return total;
}

// Largest of every thread's `mine`; a NaN, which compares false, is kept by the negated comparison.
__device__ real block_max(real mine, real *scratch) {
  int me = threadIdx.x, threads = blockDim.x;
  scratch[me] = mine;
  __syncthreads();
  for (int apart = 1; apart < threads; apart *= 2) {
    if (me % (2 * apart) == 0 && me + apart < threads && !(scratch[me + apart] <= scratch[me]))
      scratch[me] = scratch[me + apart];
    __syncthreads();
  }
  real largest = scratch[0];
  __syncthreads();  // scratch is written again by the next call
  return largest;
}

// z (T, B, H) += bias (T, H); h = sigma(z). h may be z, when sigma is the identity. Grid: (any, T).
extern "C" __global__ void bias_activation(real *z, const real *bias, real *h, int sigma, int rows, int units) {
  long long first = (long long)blockIdx.y * rows * units;
  for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < rows * units; k += gridDim.x * blockDim.x) {
    real affine = z[first + k] + bias[blockIdx.y * units + k % units];
    z[first + k] = affine;
    if (sigma != IDENTITY) h[first + k] = value(sigma, affine);
  }
}

// delta (count) *= sigma'(z). Grid: (any).
extern "C" __global__ void activation_chain(real *delta, const real *z, const real *h, int sigma, long long count) {
  for (long long k = (long long)blockIdx.x * blockDim.x + threadIdx.x; k < count; k += (long long)gridDim.x * blockDim.x)
    delta[k] *= derivative(sigma, z[k], h[k]);
}

// bias (T, H) = beta bias + alpha sum over the batch of delta (T, B, H). Grid: (any, T).
extern "C" __global__ void bias_accumulate(const real *delta, real *bias, real alpha, real beta, int rows, int units) {
  const real *mine = delta + (long long)blockIdx.y * rows * units;
  for (int unit = blockIdx.x * blockDim.x + threadIdx.x; unit < units; unit += gridDim.x * blockDim.x) {
    real total = 0;
    for (int row = 0; row < rows; ++row) total += mine[(long long)row * units + unit];
    real *place = bias + blockIdx.y * units + unit;
    // beta 0 must not read: the old value may be uninitialised, and 0 * NaN is NaN.
    *place = beta == 0 ? alpha * total : beta * *place + alpha * total;
  }
}

// loss (T, B) and delta (T, B, C) of a softmax cross-entropy from logits z and targets y, whose rows sum to 1:
// loss = lse - sum y z, delta = scale (softmax(z) - y), scale (T). y is (B, C), shared by all trials, or (T, B, C);
// target_rows counts its rows. One block a row. Shared: blockDim.x reals.
extern "C" __global__ void softmax_cross_entropy(
    const real *z, const real *y, const real *scale, real *loss, real *delta, int rows, int target_rows,
    int classes, int total_rows) {
  real *scratch = (real *)shared_memory;
  for (int row = blockIdx.x; row < total_rows; row += gridDim.x) {
    const real *logits = z + (long long)row * classes, *target = y + (long long)(row % target_rows) * classes;
    real *out = delta + (long long)row * classes;
    real largest = logits[0];
    for (int c = threadIdx.x; c < classes; c += blockDim.x)
      if (!(logits[c] <= largest)) largest = logits[c];
    largest = block_max(largest, scratch);
    real exponentials = 0, agreement = 0;
    for (int c = threadIdx.x; c < classes; c += blockDim.x) {
      real shifted = logits[c] - largest, e = exp(shifted);
      out[c] = e;
      exponentials += e;
      agreement += target[c] * shifted;
    }
    exponentials = block_sum(exponentials, scratch);
    agreement = block_sum(agreement, scratch);
    real mu = scale[row / rows];
    for (int c = threadIdx.x; c < classes; c += blockDim.x) out[c] = mu * (out[c] / exponentials - target[c]);
    if (threadIdx.x == 0) loss[row] = log(exponentials) - agreement;
  }
}

// total (T, double) += sum over the batch of loss (T, B). One block a trial. Shared: blockDim.x doubles.
extern "C" __global__ void add_losses(const real *loss, double *total, int rows) {
  double mine = 0;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) mine += loss[(long long)blockIdx.x * rows + row];
  mine = block_sum(mine, shared_memory);
  if (threadIdx.x == 0) total[blockIdx.x] += mine;
}

template <typename source>
__device__ void gather(
    const source *samples, const long long *order, real *out, real shift, real scale, int rows, int width) {
  for (int row = blockIdx.x; row < rows; row += gridDim.x)
    for (int column = threadIdx.x; column < width; column += blockDim.x)
      out[(long long)row * width + column] = (real(samples[order[row] * width + column]) - shift) / scale;
}

// out (B, D) = (samples[order] - shift) / scale, order (B). With 0 and 1 that is the samples to the bit. Any grid.
extern "C" __global__ void gather_rows(
    const real *samples, const long long *order, real *out, real shift, real scale, int rows, int width) {
  gather(samples, order, out, shift, scale, rows, width);
}

// The same from bytes, which stay bytes on the device: a quarter or an eighth of the memory.
extern "C" __global__ void gather_bytes(
    const unsigned char *samples, const long long *order, real *out, real shift, real scale, int rows, int width) {
  gather(samples, order, out, shift, scale, rows, width);
}

// The optimisers, as optimizers.py derives them. Each parameter w, its gradient g and its memories are (T, size); each
// number of a trial is (T) and double, whatever the dtype of the stack. Grid: (any, T).

// w -= rate g
extern "C" __global__ void sgd_update(real *w, const real *g, const double *rate, int size) {
  long long first = (long long)blockIdx.y * size;
  real mu = rate[blockIdx.y];
  for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < size; k += gridDim.x * blockDim.x)
    w[first + k] -= mu * g[first + k];
}

// m = momentum m + g;  w -= rate m, or with Nesterov's look ahead w -= rate (g + momentum m)
extern "C" __global__ void momentum_update(
    real *w, const real *g, real *m, const double *rate, const double *momentum, int nesterov, int size) {
  long long first = (long long)blockIdx.y * size;
  real mu = rate[blockIdx.y], keep = momentum[blockIdx.y];
  for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < size; k += gridDim.x * blockDim.x) {
    real slope = g[first + k], velocity = keep * m[first + k] + slope;
    m[first + k] = velocity;
    w[first + k] -= mu * (nesterov ? slope + keep * velocity : velocity);
  }
}

// v = decay v + (1 - decay) g^2;  w -= rate g / (sqrt(v) + epsilon)
extern "C" __global__ void rmsprop_update(
    real *w, const real *g, real *v, const double *rate, const double *decay, const double *epsilon, int size) {
  long long first = (long long)blockIdx.y * size;
  real mu = rate[blockIdx.y], keep = decay[blockIdx.y], take = 1 - decay[blockIdx.y], floor = epsilon[blockIdx.y];
  for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < size; k += gridDim.x * blockDim.x) {
    real slope = g[first + k], square = keep * v[first + k] + take * slope * slope;
    v[first + k] = square;
    w[first + k] -= mu * slope / (sqrt(square) + floor);
  }
}

// w *= 1 - rate weight_decay, if `decays`: AdamW, and weights only
// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
// w -= rate / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + epsilon).  Shared: two doubles.
extern "C" __global__ void adam_update(
    real *w, const real *g, real *m, real *v, const double *rate, const double *beta1, const double *beta2,
    const double *epsilon, const double *weight_decay, int decays, int step, int size) {
  int trial = blockIdx.y;
  long long first = (long long)trial * size;
  // A power in double is slow on many GPUs: one thread of the block takes it for all.
  if (threadIdx.x == 0) {
    shared_memory[0] = 1 - pow(beta1[trial], (double)step);
    shared_memory[1] = sqrt(1 - pow(beta2[trial], (double)step));
  }
  __syncthreads();
  real mu = rate[trial] / shared_memory[0], unbias = 1 / shared_memory[1];
  real keep1 = beta1[trial], take1 = 1 - beta1[trial], keep2 = beta2[trial], take2 = 1 - beta2[trial];
  real floor = epsilon[trial], left = decays ? 1 - rate[trial] * weight_decay[trial] : 1;
  for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < size; k += gridDim.x * blockDim.x) {
    real slope = g[first + k], mean = keep1 * m[first + k] + take1 * slope;
    real square = keep2 * v[first + k] + take2 * slope * slope;
    m[first + k] = mean;
    v[first + k] = square;
    w[first + k] = left * w[first + k] - mu * mean / (sqrt(square) * unbias + floor);
  }
}

// mask (T, size) of inverted dropout, as randomness.py and dropout.py draw it: SplitMix64's output function on a
// counter that starts at keys + offset, two numbers of 32 bits a word, the low one first. Grid: (any, T).
extern "C" __global__ void dropout_mask(
    const unsigned long long *keys, unsigned long long offset, const unsigned int *thresholds, const real *scales,
    real *mask, int size) {
  unsigned long long start = keys[blockIdx.y] + offset;
  for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < size; k += gridDim.x * blockDim.x) {
    unsigned long long word = start + (unsigned long long)(k / 2 + 1) * 0x9E3779B97F4A7C15ULL;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
    word ^= word >> 31;
    unsigned int bits = (unsigned int)(k % 2 ? word >> 32 : word);
    mask[(long long)blockIdx.y * size + k] = bits >= thresholds[blockIdx.y] ? scales[blockIdx.y] : real(0);
  }
}

// One epoch of the textbook's update, a sample at a time: h = sigma(x W1 + b1), yhat = phi(h W2 + b2),
// W := W - rate dL/dW after each of `steps` samples in the given order. One block trains one trial, so nothing
// leaves the block and no launch is paid for a sample. Loss: cross-entropy of a softmax, or with mse = 1 the
// squared error of phi. total (T, double) = sum of every sample's loss before its update.
//
// Products are split into `parts` partial sums a unit, so that a block wider than the layer is not idle; the
// thread that sums entry (i, j) of W1 is the one that updates it, so W1 needs no barrier.
// Shared: (max(blockDim.x, H) + 3 H + max(blockDim.x, C) + 2 C) reals.
extern "C" __global__ void online_epoch(
    real *W1, real *b1, real *W2, real *b2, const real *x, const real *y, const long long *order, const real *rate,
    double *total, int sigma, int phi, int mse, int steps, int inputs, int hidden, int outputs) {
  int me = threadIdx.x, threads = blockDim.x;
  int parts1 = threads > hidden ? threads / hidden : 1, parts2 = threads > outputs ? threads / outputs : 1;
  int lanes1 = parts1 * hidden, lanes2 = parts2 * outputs;
  real *partial1 = (real *)shared_memory, *z = partial1 + lanes1, *h = z + hidden, *delta1 = h + hidden;
  real *partial2 = delta1 + hidden, *logits = partial2 + lanes2, *delta2 = logits + outputs;
  W1 += (long long)blockIdx.x * inputs * hidden;
  b1 += (long long)blockIdx.x * hidden;
  W2 += (long long)blockIdx.x * hidden * outputs;
  b2 += (long long)blockIdx.x * outputs;
  real mu = rate[blockIdx.x];
  double losses = 0;

  for (int step = 0; step < steps; ++step) {
    const real *input = x + order[step] * inputs, *target = y + order[step] * outputs;

    // z = x W1 + b1, h = sigma(z)
    for (int lane = me; lane < lanes1; lane += threads) {
      real sum = 0;
      for (int i = lane / hidden; i < inputs; i += parts1) sum += input[i] * W1[i * hidden + lane % hidden];
      partial1[lane] = sum;
    }
    __syncthreads();
    for (int j = me; j < hidden; j += threads) {
      real sum = b1[j];
      for (int part = 0; part < parts1; ++part) sum += partial1[part * hidden + j];
      z[j] = sum;
      h[j] = value(sigma, sum);
    }
    __syncthreads();

    // logits = h W2 + b2
    for (int lane = me; lane < lanes2; lane += threads) {
      real sum = 0;
      for (int j = lane / outputs; j < hidden; j += parts2) sum += h[j] * W2[j * outputs + lane % outputs];
      partial2[lane] = sum;
    }
    __syncthreads();
    for (int c = me; c < outputs; c += threads) {
      real sum = b2[c];
      for (int part = 0; part < parts2; ++part) sum += partial2[part * outputs + c];
      logits[c] = sum;
    }
    __syncthreads();

    // loss and delta2 = rate dL/dlogits; every thread sums the few classes itself, which saves barriers
    real largest = logits[0], exponentials = 0;
    for (int c = 1; c < outputs; ++c)
      if (!(logits[c] <= largest)) largest = logits[c];
    if (!mse)
      for (int c = 0; c < outputs; ++c) exponentials += exp(logits[c] - largest);
    for (int c = me; c < outputs; c += threads) {
      real yhat = mse ? value(phi, logits[c]) : exp(logits[c] - largest) / exponentials;
      real slope = mse ? 2 * (yhat - target[c]) * derivative(phi, logits[c], yhat) : yhat - target[c];
      delta2[c] = mu * slope;
    }
    if (me == 0) {
      real loss = mse ? real(0) : log(exponentials);
      for (int c = 0; c < outputs; ++c) {
        real error = mse ? value(phi, logits[c]) - target[c] : real(0);
        loss += mse ? error * error : -target[c] * (logits[c] - largest);
      }
      losses += loss;
    }
    __syncthreads();

    // delta1 = (delta2 W2^T) sigma'(z), with W2 as it was; then the updates, each entry by one thread
    for (int c = me; c < outputs; c += threads) b2[c] -= delta2[c];
    for (int j = me; j < hidden; j += threads) {
      real sum = 0;
      for (int c = 0; c < outputs; ++c) {
        sum += delta2[c] * W2[j * outputs + c];
        W2[j * outputs + c] -= h[j] * delta2[c];
      }
      delta1[j] = sum * derivative(sigma, z[j], h[j]);
      b1[j] -= delta1[j];
    }
    __syncthreads();
    for (int lane = me; lane < lanes1; lane += threads)
      for (int i = lane / hidden; i < inputs; i += parts1) W1[i * hidden + lane % hidden] -= input[i] * delta1[lane % hidden];
  }
  if (me == 0) total[blockIdx.x] = losses;
}

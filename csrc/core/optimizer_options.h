#pragma once

namespace listwise::core {

struct OptimizerOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weightDecay = 0.01;
  // Gradients longer than this are scaled to it; 0 leaves them.
  double clip = 1.0;
};

}  // namespace listwise::core

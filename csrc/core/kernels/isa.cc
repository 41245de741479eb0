// Compiled once for each instruction set; see CMakeLists.txt.
#include "attention.h"
#include "int8.h"
#include "rowwise.h"
#include "transpose.h"

#define LISTWISE_TEXT_OF(x) #x
#define LISTWISE_TEXT(x) LISTWISE_TEXT_OF(x)

namespace listwise::core::kernels::LISTWISE_ISA {

extern const Table table;
const Table table = {LISTWISE_TEXT(LISTWISE_ISA),
                     attentionForward,
                     attentionBackward,
                     gelu,
                     geluBackward,
                     gatedGelu,
                     gatedGeluBackward,
                     addNorm,
                     normBackward,
                     transpose,
                     above,
                     int8Product};

}  // namespace listwise::core::kernels::LISTWISE_ISA

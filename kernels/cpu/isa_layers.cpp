// What follows the product in a layer of a network: norm and activation, each pair of them compiled for itself.
#include <meander/kernels/cpu/isa_unit.h>

namespace meander::kernels::MEANDER_ISA_NAMESPACE {
#include <meander/kernels/cpu/layer_functions.h>
namespace {
#include <meander/kernels/cpu/vector.h>
#include <meander/kernels/formulas/elementary.h>
#include <meander/kernels/formulas/activations.h>
#include <meander/kernels/cpu/row_moments.h>
#include <meander/kernels/cpu/bfloat16.h>
}  // namespace
#include <meander/kernels/cpu/mlp_layer.h>

const IsaLayers layers = {
    .mlp_finish = finish_rows,
    .mlp_layer_pullback = pull_rows,
};

}  // namespace meander::kernels::MEANDER_ISA_NAMESPACE

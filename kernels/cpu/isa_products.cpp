// Matrix products, and blocks of rows through all layers of a network.
#include <meander/kernels/cpu/isa_unit.h>

namespace meander::kernels::MEANDER_ISA_NAMESPACE {
#include <meander/kernels/cpu/layer_functions.h>
namespace {
#include <meander/kernels/cpu/vector.h>
#include <meander/kernels/cpu/bfloat16.h>
#include <meander/kernels/cpu/tile.h>
#include <meander/kernels/cpu/product.h>
#include <meander/kernels/cpu/product_bf16.h>
#include <meander/kernels/cpu/mlp_chain.h>
}  // namespace

const IsaProducts products = {
    .panel = panel,
    .tile_rows = tile_rows,
    .pack = pack,
    .pack_bfloat16 = pack_bfloat16,
    .product_rows = product_rows,
    .product_tn = product_tn,
    .mlp_values = mlp_values,
    .mlp_values_bfloat16 = mlp_values_bfloat16,
    .mlp_values_and_tangents = mlp_values_and_tangents,
    .mlp_values_and_gradients = mlp_values_and_gradients,
};

}  // namespace meander::kernels::MEANDER_ISA_NAMESPACE

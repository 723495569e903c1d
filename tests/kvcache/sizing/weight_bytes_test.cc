#include "kvcache/sizing/weight_bytes.h"

#include <gtest/gtest.h>

#include "kvcache/sizing/weight_format.h"
#include "tests/kvcache/sizing/models.h"

namespace plimsoll {
namespace {

// Of Llama-3.1-8B, the elements in matrices of layers and the rest.
constexpr int64_t kMatrices = 6'979'321'856;
constexpr int64_t kRest = 1'050'939'392;

Bytes Weights(ElementType type) { return WeightBytesOf(Llama31(), type).total; }

TEST(WeightBytes, OfLlama31InEveryWideType) {
  EXPECT_EQ(Weights(ElementType::kFp32), Bytes(8030261248 * 4));
  EXPECT_EQ(Weights(ElementType::kTf32), Bytes(8030261248 * 4));
  EXPECT_EQ(Weights(ElementType::kFp16), Bytes(8030261248 * 2));
  EXPECT_EQ(Weights(ElementType::kBf16), Bytes(8030261248 * 2));
}

TEST(WeightBytes, Int4Has4AndAQuarterBitsInMatricesAnd16Elsewhere) {
  EXPECT_EQ(Weights(ElementType::kInt4), Bytes(kMatrices / 32 * 17 + kRest * 2));
}

// Rows of all matrices of one layer: q 4096, k and v 1024, o 4096, gate and up 14336, down 4096.
TEST(WeightBytes, Int8HasOneScaleARow) {
  const int64_t rows = 32 * (4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096);
  EXPECT_EQ(Weights(ElementType::kInt8), Bytes(kMatrices + rows * 2 + kRest * 2));
  EXPECT_EQ(Weights(ElementType::kInt8), Bytes(9083953152));  // known for per-channel formats
}

TEST(WeightBytes, Fp8HasOneScaleAMatrix) {
  EXPECT_EQ(Weights(ElementType::kFp8), Bytes(kMatrices + 32 * 7 * 4 + kRest * 2));
  EXPECT_EQ(Weights(ElementType::kFp8), Bytes(9081201536));  // known for per-tensor formats
}

TEST(WeightBytes, APartGroupHasAScaleOfItsOwn) {
  EXPECT_EQ(MatrixBytes(ElementType::kInt4, 3, 128), Bytes(3 * (64 + 4)));
  EXPECT_EQ(MatrixBytes(ElementType::kInt4, 3, 129), Bytes(3 * (65 + 8)));
  EXPECT_EQ(MatrixBytes(ElementType::kInt8, 3, 129), Bytes(3 * (129 + 2)));
  EXPECT_EQ(MatrixBytes(ElementType::kFp8, 3, 129), Bytes(3 * 129 + 4));
  EXPECT_EQ(MatrixBytes(ElementType::kBf16, 3, 129), Bytes(3 * 129 * 2));
}

TEST(WeightBytes, RoutersStayIn16BitsAndExpertsDoNot) {
  const ModelConfig mixtral = ModelNamed("mistralai/Mixtral-8x7B-v0.1");
  const int64_t router = int64_t{32} * 8 * 4096;
  const int64_t ends = int64_t{2} * 32000 * 4096;
  const int64_t norms = int64_t{65} * 4096;
  const int64_t matrices = mixtral.Parameters() - router - ends - norms;
  EXPECT_EQ(WeightBytesOf(mixtral, ElementType::kInt4).total,
            Bytes(matrices / 32 * 17 + (router + ends + norms) * 2));
}

// Tensor by tensor, the slow way.
TEST(WeightBytes, AreTheSumOverTensorsOneByOne) {
  for (const PublishedModel& published : kPublishedModels) {
    const ModelConfig model = ModelNamed(published.name);
    for (const ElementType type : {ElementType::kFp8, ElementType::kInt8, ElementType::kInt4}) {
      Bytes sum(0);
      for (const TensorSpec& tensor : model.tensors) {
        sum += (IsMatrix(tensor.role) ? MatrixBytes(type, tensor.shape[0], tensor.shape[1])
                                      : Bytes(2 * tensor.ElementsOfOne())) *
               tensor.Copies();
      }
      EXPECT_EQ(WeightBytesOf(model, type).total, sum) << published.name;
    }
  }
}

TEST(WeightBytes, TheFormulaHasTheNumbersInIt) {
  EXPECT_EQ(WeightBytesOf(Llama31(), ElementType::kBf16).formula,
            "8030261248 parameters x 2 bytes");
  EXPECT_EQ(WeightBytesOf(Llama31(), ElementType::kInt4).formula,
            "6979321856 x 4 bits + 218103808 bytes of scales + 1050939392 x 2 bytes");
}

}  // namespace
}  // namespace plimsoll

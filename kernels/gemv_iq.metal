// Matrix times few rows, for IQ formats: see common/gemv.h and common/format_iq.h.
#include <metal_stdlib>
using namespace metal;
#include "arguments.h"
#include "common/gemv.h"
#include "common/format_iq.h"
#include "common/gemv_generic.h"

GEMV_INSTANTIATE_RARE("iq1_s", GenericPacket<FormatIQ1_S>)
GEMV_INSTANTIATE_RARE("iq1_m", GenericPacket<FormatIQ1_M>)
GEMV_INSTANTIATE_RARE("iq2_xxs", GenericPacket<FormatIQ2_XXS>)
GEMV_INSTANTIATE_RARE("iq2_xs", GenericPacket<FormatIQ2_XS>)
GEMV_INSTANTIATE_RARE("iq2_s", GenericPacket<FormatIQ2_S>)
GEMV_INSTANTIATE_RARE("iq3_xxs", GenericPacket<FormatIQ3_XXS>)
GEMV_INSTANTIATE_RARE("iq3_s", GenericPacket<FormatIQ3_S>)
GEMV_INSTANTIATE_RARE("iq4_nl", GenericPacket<FormatIQ4_NL>)
GEMV_INSTANTIATE_RARE("iq4_xs", GenericPacket<FormatIQ4_XS>)

#include "textflag.h"

// func correlatePMULL(c *Element, s, x *uint64, n, count int)
TEXT ·correlatePMULL(SB), NOSPLIT, $0-40
	MOVD c+0(FP), R0
	MOVD s+8(FP), R1
	MOVD x+16(FP), R2
	MOVD n+24(FP), R3
	MOVD count+32(FP), R4

result:
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	MOVD R1, R5
	MOVD R2, R6
	MOVD R3, R7

words:
	VLD1.P  32(R5), [V2.D2, V3.D2]
	VLD1.P  32(R6), [V4.D2, V5.D2]
	VPMULL  V2.D1, V4.D1, V6.Q1
	VPMULL2 V2.D2, V4.D2, V7.Q1
	VPMULL  V3.D1, V5.D1, V8.Q1
	VPMULL2 V3.D2, V5.D2, V9.Q1
	VEOR    V6.B16, V0.B16, V0.B16
	VEOR    V7.B16, V1.B16, V1.B16
	VEOR    V8.B16, V0.B16, V0.B16
	VEOR    V9.B16, V1.B16, V1.B16
	SUBS    $4, R7, R7
	BNE     words

	VEOR   V1.B16, V0.B16, V0.B16
	VST1.P [V0.D2], 16(R0)
	ADD    $8, R1
	SUBS   $1, R4, R4
	BNE    result
	RET

// func hashPMULL(sum *Element, key *Element, blocks *uint64, count int)
// V0 is the sum, V7 the key, V8 the key with its words exchanged, V6 the polynomial without x^128 in each word, V9
// zero.
TEXT ·hashPMULL(SB), NOSPLIT, $0-32
	MOVD sum+0(FP), R0
	MOVD key+8(FP), R1
	MOVD blocks+16(FP), R2
	MOVD count+24(FP), R3
	VLD1 (R0), [V0.D2]
	VLD1 (R1), [V7.D2]
	VEXT $8, V7.B16, V7.B16, V8.B16
	MOVD $0x87, R4
	VDUP R4, V6.D2
	VEOR V9.B16, V9.B16, V9.B16

block:
	VLD1.P 16(R2), [V1.D2]
	VEOR   V1.B16, V0.B16, V0.B16

	// The product: V2 the lower half, V3 the upper, V4 what lies across.
	VPMULL  V0.D1, V7.D1, V2.Q1
	VPMULL2 V0.D2, V7.D2, V3.Q1
	VPMULL  V0.D1, V8.D1, V4.Q1
	VPMULL2 V0.D2, V8.D2, V5.Q1
	VEOR    V5.B16, V4.B16, V4.B16
	VEXT    $8, V4.B16, V9.B16, V5.B16
	VEXT    $8, V9.B16, V4.B16, V4.B16
	VEOR    V5.B16, V2.B16, V2.B16
	VEOR    V4.B16, V3.B16, V3.B16

	// The rest: word 3 times the polynomial belongs at word 1, then word 2 times it at word 0.
	VPMULL2 V3.D2, V6.D2, V4.Q1
	VEXT    $8, V4.B16, V9.B16, V5.B16
	VEXT    $8, V9.B16, V4.B16, V4.B16
	VEOR    V5.B16, V2.B16, V2.B16
	VEOR    V4.B16, V3.B16, V3.B16
	VPMULL  V3.D1, V6.D1, V4.Q1
	VEOR    V4.B16, V2.B16, V0.B16

	SUBS $1, R3, R3
	BNE  block
	VST1 [V0.D2], (R0)
	RET

#include "textflag.h"

// func hasVPCLMULQDQ() bool
// CPUID leaf 7, bit 10 of ECX.
TEXT ·hasVPCLMULQDQ(SB), NOSPLIT, $0-1
	MOVL $7, AX
	XORL CX, CX
	CPUID
	SHRL $10, CX
	ANDL $1, CX
	MOVB CX, ret+0(FP)
	RET

// func correlateVPCLMULQDQ(c *Element, s, x *uint64, n, count int)
// Two results at a time, and four words of s and of x. Lanes are summed apart until the end.
TEXT ·correlateVPCLMULQDQ(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ s+8(FP), SI
	MOVQ x+16(FP), DX
	MOVQ n+24(FP), R8
	MOVQ count+32(FP), R9
	SHLQ $3, R8
	SUBQ $2, R9
	JB   last

vresults:
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	XORQ  CX, CX

vwords:
	VMOVDQU    (DX)(CX*1), Y4
	VMOVDQU    (SI)(CX*1), Y5
	VMOVDQU    8(SI)(CX*1), Y6
	VPCLMULQDQ $0x00, Y4, Y5, Y7
	VPCLMULQDQ $0x11, Y4, Y5, Y8
	VPCLMULQDQ $0x00, Y4, Y6, Y9
	VPCLMULQDQ $0x11, Y4, Y6, Y10
	VPXOR      Y7, Y0, Y0
	VPXOR      Y8, Y1, Y1
	VPXOR      Y9, Y2, Y2
	VPXOR      Y10, Y3, Y3
	ADDQ       $32, CX
	CMPQ       CX, R8
	JB         vwords

	VPXOR        Y1, Y0, Y0
	VPXOR        Y3, Y2, Y2
	VEXTRACTI128 $1, Y0, X1
	VEXTRACTI128 $1, Y2, X3
	VPXOR        X1, X0, X0
	VPXOR        X3, X2, X2
	VMOVDQU      X0, (DI)
	VMOVDQU      X2, 16(DI)
	ADDQ         $32, DI
	ADDQ         $16, SI
	SUBQ         $2, R9
	JAE          vresults

last:
	// R9 is −1 if a result is left, −2 if not.
	ADDQ  $2, R9
	JZ    vdone
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	XORQ  CX, CX

vlast:
	VMOVDQU    (DX)(CX*1), Y4
	VMOVDQU    (SI)(CX*1), Y5
	VPCLMULQDQ $0x00, Y4, Y5, Y7
	VPCLMULQDQ $0x11, Y4, Y5, Y8
	VPXOR      Y7, Y0, Y0
	VPXOR      Y8, Y1, Y1
	ADDQ       $32, CX
	CMPQ       CX, R8
	JB         vlast

	VPXOR        Y1, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPXOR        X1, X0, X0
	VMOVDQU      X0, (DI)

vdone:
	VZEROUPPER
	RET

// func addAVX2(sum, a, b *uint64, n int)
TEXT ·addAVX2(SB), NOSPLIT, $0-32
	MOVQ sum+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ n+24(FP), R8
	SHLQ $3, R8
	XORQ CX, CX

addwords:
	VMOVDQU (SI)(CX*1), Y0
	VPXOR   (DX)(CX*1), Y0, Y0
	VMOVDQU Y0, (DI)(CX*1)
	ADDQ    $32, CX
	CMPQ    CX, R8
	JB      addwords
	VZEROUPPER
	RET

// func correlatePCLMULQDQ(c *Element, s, x *uint64, n, count int)
TEXT ·correlatePCLMULQDQ(SB), NOSPLIT, $0-40
	MOVQ c+0(FP), DI
	MOVQ s+8(FP), SI
	MOVQ x+16(FP), DX
	MOVQ n+24(FP), R8
	MOVQ count+32(FP), R9
	SHLQ $3, R8

result:
	PXOR X0, X0
	PXOR X1, X1
	XORQ CX, CX

words:
	MOVOU     (SI)(CX*1), X2
	MOVOU     (DX)(CX*1), X3
	MOVO      X2, X4
	PCLMULQDQ $0x00, X3, X2
	PCLMULQDQ $0x11, X3, X4
	PXOR      X2, X0
	PXOR      X4, X1
	ADDQ      $16, CX
	CMPQ      CX, R8
	JB        words

	PXOR  X1, X0
	MOVOU X0, (DI)
	ADDQ  $16, DI
	ADDQ  $8, SI
	DECQ  R9
	JNZ   result
	RET

// func hashPCLMULQDQ(sum *Element, key *Element, blocks *uint64, count int)
// X0 is the sum, X7 the key, X6 the polynomial without x^128.
TEXT ·hashPCLMULQDQ(SB), NOSPLIT, $0-32
	MOVQ  sum+0(FP), DI
	MOVQ  key+8(FP), SI
	MOVQ  blocks+16(FP), DX
	MOVQ  count+24(FP), CX
	MOVOU (DI), X0
	MOVOU (SI), X7
	MOVQ  $0x87, AX
	MOVQ  AX, X6

block:
	MOVOU (DX), X1
	PXOR  X1, X0

	// The product: X2 the lower half, X3 the upper, X4 what lies across.
	MOVO      X0, X2
	MOVO      X0, X3
	MOVO      X0, X4
	PCLMULQDQ $0x00, X7, X2
	PCLMULQDQ $0x11, X7, X3
	PCLMULQDQ $0x01, X7, X4
	PCLMULQDQ $0x10, X7, X0
	PXOR      X0, X4
	MOVO      X4, X5
	PSLLDQ    $8, X4
	PSRLDQ    $8, X5
	PXOR      X4, X2
	PXOR      X5, X3

	// The rest: word 3 times the polynomial belongs at word 1, then word 2 times it at word 0.
	MOVO      X3, X4
	PCLMULQDQ $0x01, X6, X4
	MOVO      X4, X5
	PSLLDQ    $8, X4
	PSRLDQ    $8, X5
	PXOR      X4, X2
	PXOR      X5, X3
	PCLMULQDQ $0x00, X6, X3
	PXOR      X3, X2
	MOVO      X2, X0

	ADDQ  $16, DX
	DECQ  CX
	JNZ   block
	MOVOU X0, (DI)
	RET

// ADDPRODUCT adds the product of X0 and a power to X2, the lower half, X3, the upper, and X4, what lies across.
#define ADDPRODUCT(power) \
	MOVOU     power, X7 \
	MOVO      X0, X1 \
	PCLMULQDQ $0x00, X7, X1 \
	PXOR      X1, X2 \
	MOVO      X0, X1 \
	PCLMULQDQ $0x11, X7, X1 \
	PXOR      X1, X3 \
	MOVO      X0, X1 \
	PCLMULQDQ $0x01, X7, X1 \
	PXOR      X1, X4 \
	PCLMULQDQ $0x10, X7, X0 \
	PXOR      X0, X4

// func hashFoursPCLMULQDQ(sum *Element, powers *[4]Element, blocks *uint64, count int)
// As hashPCLMULQDQ, with one rest for four products.
TEXT ·hashFoursPCLMULQDQ(SB), NOSPLIT, $0-32
	MOVQ  sum+0(FP), DI
	MOVQ  powers+8(FP), SI
	MOVQ  blocks+16(FP), DX
	MOVQ  count+24(FP), CX
	MOVOU (DI), X8
	MOVQ  $0x87, AX
	MOVQ  AX, X6

four:
	PXOR  X2, X2
	PXOR  X3, X3
	PXOR  X4, X4
	MOVOU (DX), X0
	PXOR  X8, X0
	ADDPRODUCT(48(SI))
	MOVOU 16(DX), X0
	ADDPRODUCT(32(SI))
	MOVOU 32(DX), X0
	ADDPRODUCT(16(SI))
	MOVOU 48(DX), X0
	ADDPRODUCT((SI))

	MOVO      X4, X5
	PSLLDQ    $8, X4
	PSRLDQ    $8, X5
	PXOR      X4, X2
	PXOR      X5, X3
	MOVO      X3, X4
	PCLMULQDQ $0x01, X6, X4
	MOVO      X4, X5
	PSLLDQ    $8, X4
	PSRLDQ    $8, X5
	PXOR      X4, X2
	PXOR      X5, X3
	PCLMULQDQ $0x00, X6, X3
	PXOR      X3, X2
	MOVO      X2, X8

	ADDQ  $64, DX
	DECQ  CX
	JNZ   four
	MOVOU X8, (DI)
	RET

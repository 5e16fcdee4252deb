#include "textflag.h"

// REDUCE writes to lo the rests of four products in GF(2^64), of which even and odd have two each.
#define REDUCE(even, odd, lo, t) \
	VPUNPCKLQDQ odd, even, lo \
	VPUNPCKHQDQ odd, even, even \
	VPSRLQ      $60, even, odd \
	VPSRLQ      $61, even, t \
	VPXOR       t, odd, odd \
	VPSRLQ      $63, even, t \
	VPXOR       t, odd, odd \
	VPXOR       odd, even, even \
	VPXOR       even, lo, lo \
	VPSLLQ      $1, even, odd \
	VPXOR       odd, lo, lo \
	VPSLLQ      $3, even, odd \
	VPXOR       odd, lo, lo \
	VPSLLQ      $4, even, odd \
	VPXOR       odd, lo, lo

// MULTIPLY writes to lo the products of the words of a and b.
#define MULTIPLY(a, b, lo, t0, t1, t2) \
	VPCLMULQDQ $0x00, a, b, t0 \
	VPCLMULQDQ $0x11, a, b, t1 \
	REDUCE(t0, t1, lo, t2)

// func twistVPCLMULQDQ(a, b *uint64, n int, w uint64)
TEXT ·twistVPCLMULQDQ(SB), NOSPLIT, $0-32
	MOVQ         a+0(FP), SI
	MOVQ         b+8(FP), DI
	MOVQ         n+16(FP), CX
	MOVQ         w+24(FP), AX
	SHLQ         $3, CX
	XORQ         DX, DX
	TESTQ        AX, AX
	JZ           plain
	MOVQ         AX, X7
	VPBROADCASTQ X7, Y7

twisted:
	VMOVDQU (DI)(DX*1), Y0
	MULTIPLY(Y7, Y0, Y1, Y2, Y3, Y4)
	VPXOR   (SI)(DX*1), Y1, Y1
	VPXOR   Y1, Y0, Y0
	VMOVDQU Y1, (SI)(DX*1)
	VMOVDQU Y0, (DI)(DX*1)
	ADDQ    $32, DX
	CMPQ    DX, CX
	JB      twisted
	VZEROUPPER
	RET

plain:
	VMOVDQU (DI)(DX*1), Y0
	VPXOR   (SI)(DX*1), Y0, Y0
	VMOVDQU Y0, (DI)(DX*1)
	ADDQ    $32, DX
	CMPQ    DX, CX
	JB      plain
	VZEROUPPER
	RET

// func twistBackVPCLMULQDQ(a, b *uint64, n int, w uint64)
TEXT ·twistBackVPCLMULQDQ(SB), NOSPLIT, $0-32
	MOVQ         a+0(FP), SI
	MOVQ         b+8(FP), DI
	MOVQ         n+16(FP), CX
	MOVQ         w+24(FP), AX
	SHLQ         $3, CX
	XORQ         DX, DX
	TESTQ        AX, AX
	JZ           plainBack
	MOVQ         AX, X7
	VPBROADCASTQ X7, Y7

twistedBack:
	VMOVDQU (SI)(DX*1), Y5
	VPXOR   (DI)(DX*1), Y5, Y0
	MULTIPLY(Y7, Y0, Y1, Y2, Y3, Y4)
	VPXOR   Y5, Y1, Y1
	VMOVDQU Y1, (SI)(DX*1)
	VMOVDQU Y0, (DI)(DX*1)
	ADDQ    $32, DX
	CMPQ    DX, CX
	JB      twistedBack
	VZEROUPPER
	RET

plainBack:
	VMOVDQU (DI)(DX*1), Y0
	VPXOR   (SI)(DX*1), Y0, Y0
	VMOVDQU Y0, (DI)(DX*1)
	ADDQ    $32, DX
	CMPQ    DX, CX
	JB      plainBack
	VZEROUPPER
	RET

// LOAD takes two blocks of 4 words apart, so that Y0 has their first halves and Y1 their second ones, and the twists of both
// levels, Y6 for halves and Y7 for quarters.
#define LOAD \
	VMOVDQU    (SI), Y2 \
	VMOVDQU    32(SI), Y3 \
	VPERM2I128 $0x20, Y3, Y2, Y0 \
	VPERM2I128 $0x31, Y3, Y2, Y1 \
	VMOVDQU    (DI), X6 \
	VPERMQ     $0x50, Y6, Y6 \
	VMOVDQU    (DX), Y7

#define STORE \
	VPERM2I128 $0x20, Y1, Y0, Y2 \
	VPERM2I128 $0x31, Y1, Y0, Y3 \
	VMOVDQU    Y2, (SI) \
	VMOVDQU    Y3, 32(SI) \
	VZEROUPPER

// TURN changes between the halves of blocks and what is even and odd in them.
#define TURN \
	VPUNPCKHQDQ Y1, Y0, Y2 \
	VPUNPCKLQDQ Y1, Y0, Y0 \
	VMOVDQA     Y2, Y1

// func endsVPCLMULQDQ(f, halves, quarters *uint64)
TEXT ·endsVPCLMULQDQ(SB), NOSPLIT, $0-24
	MOVQ f+0(FP), SI
	MOVQ halves+8(FP), DI
	MOVQ quarters+16(FP), DX
	LOAD
	MULTIPLY(Y6, Y1, Y2, Y3, Y4, Y5)
	VPXOR Y2, Y0, Y0
	VPXOR Y0, Y1, Y1
	TURN
	MULTIPLY(Y7, Y1, Y2, Y3, Y4, Y5)
	VPXOR Y2, Y0, Y0
	VPXOR Y0, Y1, Y1
	TURN
	STORE
	RET

// func endsBackVPCLMULQDQ(f, halves, quarters *uint64)
TEXT ·endsBackVPCLMULQDQ(SB), NOSPLIT, $0-24
	MOVQ f+0(FP), SI
	MOVQ halves+8(FP), DI
	MOVQ quarters+16(FP), DX
	LOAD
	TURN
	VPXOR Y0, Y1, Y1
	MULTIPLY(Y7, Y1, Y2, Y3, Y4, Y5)
	VPXOR Y2, Y0, Y0
	TURN
	VPXOR Y0, Y1, Y1
	MULTIPLY(Y6, Y1, Y2, Y3, Y4, Y5)
	VPXOR Y2, Y0, Y0
	STORE
	RET

// func productsVPCLMULQDQ(sum, a, b *uint64, n int)
TEXT ·productsVPCLMULQDQ(SB), NOSPLIT, $0-32
	MOVQ sum+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), BX
	MOVQ n+24(FP), CX
	SHLQ $3, CX
	XORQ DX, DX

product:
	VMOVDQU (SI)(DX*1), Y0
	VMOVDQU (BX)(DX*1), Y6
	MULTIPLY(Y6, Y0, Y1, Y2, Y3, Y4)
	VPXOR   (DI)(DX*1), Y1, Y1
	VMOVDQU Y1, (DI)(DX*1)
	ADDQ    $32, DX
	CMPQ    DX, CX
	JB      product
	VZEROUPPER
	RET

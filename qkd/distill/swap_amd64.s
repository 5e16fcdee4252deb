#include "textflag.h"

// For each stage of columns, how far the words of two rows are shifted, and the lower of each two columns.
DATA stages<>+0(SB)/8, $0
DATA stages<>+8(SB)/8, $1
DATA stages<>+16(SB)/8, $0
DATA stages<>+24(SB)/8, $1
DATA stages<>+32(SB)/8, $0x5555555555555555
DATA stages<>+40(SB)/8, $0x5555555555555555
DATA stages<>+48(SB)/8, $0x5555555555555555
DATA stages<>+56(SB)/8, $0x5555555555555555
DATA stages<>+64(SB)/8, $0
DATA stages<>+72(SB)/8, $2
DATA stages<>+80(SB)/8, $0
DATA stages<>+88(SB)/8, $2
DATA stages<>+96(SB)/8, $0x3333333333333333
DATA stages<>+104(SB)/8, $0x3333333333333333
DATA stages<>+112(SB)/8, $0x3333333333333333
DATA stages<>+120(SB)/8, $0x3333333333333333
DATA stages<>+128(SB)/8, $0
DATA stages<>+136(SB)/8, $4
DATA stages<>+144(SB)/8, $0
DATA stages<>+152(SB)/8, $4
DATA stages<>+160(SB)/8, $0x0F0F0F0F0F0F0F0F
DATA stages<>+168(SB)/8, $0x0F0F0F0F0F0F0F0F
DATA stages<>+176(SB)/8, $0x0F0F0F0F0F0F0F0F
DATA stages<>+184(SB)/8, $0x0F0F0F0F0F0F0F0F
DATA stages<>+192(SB)/8, $0
DATA stages<>+200(SB)/8, $8
DATA stages<>+208(SB)/8, $0
DATA stages<>+216(SB)/8, $8
DATA stages<>+224(SB)/8, $0x00FF00FF00FF00FF
DATA stages<>+232(SB)/8, $0x00FF00FF00FF00FF
DATA stages<>+240(SB)/8, $0x00FF00FF00FF00FF
DATA stages<>+248(SB)/8, $0x00FF00FF00FF00FF
DATA stages<>+256(SB)/8, $0
DATA stages<>+264(SB)/8, $16
DATA stages<>+272(SB)/8, $0
DATA stages<>+280(SB)/8, $16
DATA stages<>+288(SB)/8, $0x0000FFFF0000FFFF
DATA stages<>+296(SB)/8, $0x0000FFFF0000FFFF
DATA stages<>+304(SB)/8, $0x0000FFFF0000FFFF
DATA stages<>+312(SB)/8, $0x0000FFFF0000FFFF
DATA stages<>+320(SB)/8, $0
DATA stages<>+328(SB)/8, $32
DATA stages<>+336(SB)/8, $0
DATA stages<>+344(SB)/8, $32
DATA stages<>+352(SB)/8, $0x00000000FFFFFFFF
DATA stages<>+360(SB)/8, $0x00000000FFFFFFFF
DATA stages<>+368(SB)/8, $0x00000000FFFFFFFF
DATA stages<>+376(SB)/8, $0x00000000FFFFFFFF
GLOBL stages<>(SB), RODATA|NOPTR, $384

// func exchange(a, b *uint64, m *byte, count int)
TEXT ·exchange(SB), NOSPLIT, $0-32
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ m+16(FP), DX
	MOVQ count+24(FP), CX

words:
	VMOVDQU (SI), Y0
	VMOVDQU (DI), Y1
	VPXOR   Y0, Y1, Y2
	VPAND   (DX), Y2, Y2
	VPXOR   Y2, Y0, Y0
	VPXOR   Y2, Y1, Y1
	VMOVDQU Y0, (SI)
	VMOVDQU Y1, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	ADDQ    $32, DX
	DECQ    CX
	JNZ     words
	VZEROUPPER
	RET

// STAGE swaps columns of Y0 at a distance of d. Each of two words serves two rows, the second one shifted.
#define STAGE(s, d) \
	VMOVDQU  (DX), X1 \
	VPERMQ   $0x50, Y1, Y1 \
	VPSRLVQ  stages<>+(64*s)(SB), Y1, Y1 \
	VPAND    stages<>+(64*s+32)(SB), Y1, Y1 \
	VPSRLQ   $d, Y0, Y2 \
	VPXOR    Y0, Y2, Y2 \
	VPAND    Y1, Y2, Y2 \
	VPXOR    Y2, Y0, Y0 \
	VPSLLQ   $d, Y2, Y2 \
	VPXOR    Y2, Y0, Y0

// func exchangeColumns(words *uint64, m *byte, bytes, count int)
TEXT ·exchangeColumns(SB), NOSPLIT, $0-32
	MOVQ words+0(FP), SI
	MOVQ m+8(FP), R9
	MOVQ bytes+16(FP), R8
	MOVQ count+24(FP), CX

rows:
	MOVQ    R9, DX
	VMOVDQU (SI), Y0
	STAGE(0, 1)
	ADDQ    R8, DX
	STAGE(1, 2)
	ADDQ    R8, DX
	STAGE(2, 4)
	ADDQ    R8, DX
	STAGE(3, 8)
	ADDQ    R8, DX
	STAGE(4, 16)
	ADDQ    R8, DX
	STAGE(5, 32)
	VMOVDQU Y0, (SI)
	ADDQ    $32, SI
	ADDQ    $16, R9
	DECQ    CX
	JNZ     rows
	VZEROUPPER
	RET

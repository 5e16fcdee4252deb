#include "textflag.h"

// func extract(to, from, masks *uint64, count int)
TEXT ·extract(SB), NOSPLIT, $0-32
	MOVQ to+0(FP), DI
	MOVQ from+8(FP), SI
	MOVQ masks+16(FP), DX
	MOVQ count+24(FP), CX

word:
	MOVQ  (SI), AX
	MOVQ  (DX), BX
	PEXTQ BX, AX, AX
	MOVQ  AX, (DI)
	ADDQ  $8, SI
	ADDQ  $8, DX
	ADDQ  $8, DI
	DECQ  CX
	JNZ   word
	RET

#include "textflag.h"

// func zeroUpper()
TEXT ·zeroUpper(SB), NOSPLIT|NOFRAME, $0-0
	VZEROUPPER
	RET

// func dirtyUpper()
TEXT ·dirtyUpper(SB), NOSPLIT|NOFRAME, $0-0
	VPCMPEQB Y14, Y14, Y14
	RET

// func upperInUse() bool
// XGETBV with ECX=1 is the bitmap of state that is not at its initial value; bit 2 is that of the upper halves.
TEXT ·upperInUse(SB), NOSPLIT|NOFRAME, $0-1
	MOVL $1, CX
	XGETBV
	SHRL $2, AX
	ANDL $1, AX
	MOVB AX, ret+0(FP)
	RET

// func reportsInUse() bool
// CPUID leaf 0DH, subleaf 1, bit 2 of EAX: XGETBV takes ECX=1.
TEXT ·reportsInUse(SB), NOSPLIT|NOFRAME, $0-1
	MOVL $0, AX
	CPUID
	CMPL AX, $13
	JLT  no
	MOVL $13, AX
	MOVL $1, CX
	CPUID
	SHRL $2, AX
	ANDL $1, AX
	MOVB AX, ret+0(FP)
	RET
no:
	MOVB $0, ret+0(FP)
	RET

//! The instructions of [`super::x86`] on a processor without them: each raises SIGILL, whose handler decodes it, does what
//! the manual says it does to registers of its own, and goes on behind it.
//!
//! So the very code that runs on a processor with AVX-512 BF16 or AMX is tested on every x86-64 under Linux: its encoding,
//! addresses, registers and order; not whether the manual tells the truth about the processor.
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use std::cell::UnsafeCell;
use std::sync::Once;

/// What the processor does not have: vectors of AVX-512 and the tiles of AMX.
struct Registers {
    vectors: [[u32; 16]; 32],
    tiles: [[[u32; 16]; 16]; 8],
    configured: bool,
}

thread_local! {
    static REGISTERS: UnsafeCell<Registers> = const {
        UnsafeCell::new(Registers { vectors: [[0; 16]; 32], tiles: [[[0; 16]; 16]; 8], configured: false })
    };
}

/// Instructions that the processor does not know are carried out from now on.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: a handler of the right type for SA_SIGINFO.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = trap as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()), 0);
        }
    });
}

extern "C" fn trap(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands over a `ucontext_t`; the bytes at its instruction pointer are code.
    unsafe {
        let general = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let at = general[libc::REG_RIP as usize] as u64;
        let bytes = std::slice::from_raw_parts(at as *const u8, 15);
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        let known = REGISTERS.with(|registers| execute(&instruction, general, &mut *registers.get()));
        if known {
            general[libc::REG_RIP as usize] += instruction.len() as i64;
        } else {
            // Not ours: it is met again, without a handler.
            libc::signal(libc::SIGILL, libc::SIG_DFL);
        }
    }
}

fn general_register(general: &[libc::greg_t; 23], register: Register) -> Option<u64> {
    let names = [
        (Register::RAX, libc::REG_RAX),
        (Register::RBX, libc::REG_RBX),
        (Register::RCX, libc::REG_RCX),
        (Register::RDX, libc::REG_RDX),
        (Register::RSI, libc::REG_RSI),
        (Register::RDI, libc::REG_RDI),
        (Register::RBP, libc::REG_RBP),
        (Register::RSP, libc::REG_RSP),
        (Register::R8, libc::REG_R8),
        (Register::R9, libc::REG_R9),
        (Register::R10, libc::REG_R10),
        (Register::R11, libc::REG_R11),
        (Register::R12, libc::REG_R12),
        (Register::R13, libc::REG_R13),
        (Register::R14, libc::REG_R14),
        (Register::R15, libc::REG_R15),
    ];
    names.iter().find(|(name, _)| *name == register).map(|(_, place)| general[*place as usize] as u64)
}

/// `a · b + c` of the instructions: rounded once, subnormal sums ±0.
fn fused(a: u32, b: u32, c: u32) -> u32 {
    let sum = f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c));
    (if sum.is_subnormal() { 0.0f32.copysign(sum) } else { sum }).to_bits()
}

/// To bf16: to the nearest, ties to even, subnormals zero (NaNs are not met here).
fn rounded(x: u32) -> u32 {
    if f32::from_bits(x).is_subnormal() {
        return x >> 31 << 15;
    }
    u32::from(half::bf16::from_f32(f32::from_bits(x)).to_bits())
}

fn plus(a: u32, b: u32) -> u32 {
    fused(1.0f32.to_bits(), a, b)
}

/// Whether the instruction is known, and done.
unsafe fn execute(i: &Instruction, general: &[libc::greg_t; 23], registers: &mut Registers) -> bool {
    let address = |operand| {
        // Segments begin at 0.
        let value = |register: Register, _, _| match register.is_segment_register() {
            true => Some(0),
            false => general_register(general, register),
        };
        i.virtual_address(operand, 0, value).unwrap_or_default()
    };
    let number = |operand| i.op_register(operand).number();
    let is_memory = |operand| i.op_kind(operand) == OpKind::Memory;
    // Rows of a tile: from base and displacement, an index apart.
    let rows = || {
        let index = general_register(general, i.memory_index()).unwrap_or_default();
        let stride = index * u64::from(i.memory_index_scale());
        let base = general_register(general, i.memory_base()).unwrap_or_default();
        let start = base.wrapping_add(i.memory_displacement64());
        move |row: usize| start.wrapping_add(row as u64 * stride)
    };
    // SAFETY: addresses are those that the instruction would read and write.
    unsafe {
        match i.mnemonic() {
            Mnemonic::Vpxord => {
                let (a, b) = (registers.vectors[number(1)], registers.vectors[number(2)]);
                registers.vectors[number(0)] = std::array::from_fn(|lane| a[lane] ^ b[lane]);
            }
            Mnemonic::Vmovups if is_memory(1) => {
                registers.vectors[number(0)] = (address(1) as *const [u32; 16]).read_unaligned();
            }
            Mnemonic::Vmovups if is_memory(0) => {
                (address(0) as *mut [u32; 16]).write_unaligned(registers.vectors[number(1)]);
            }
            Mnemonic::Vpbroadcastd if is_memory(1) => {
                registers.vectors[number(0)] = [(address(1) as *const u32).read_unaligned(); 16];
            }
            Mnemonic::Vcvtne2ps2bf16 if !is_memory(2) => {
                let (high, low) = (registers.vectors[number(1)], registers.vectors[number(2)]);
                let halves = [low, high].map(|values| values.map(rounded));
                let all = halves.as_flattened();
                registers.vectors[number(0)] =
                    std::array::from_fn(|lane| all[2 * lane] | all[2 * lane + 1] << 16);
            }
            Mnemonic::Vpermw if !is_memory(2) => {
                let (places, from) = (registers.vectors[number(1)], registers.vectors[number(2)]);
                let word = |values: [u32; 16], i: usize| values[i / 2] >> (16 * (i % 2)) & 0xffff;
                let of = |i: usize| word(from, word(places, i) as usize % 32);
                registers.vectors[number(0)] =
                    std::array::from_fn(|lane| of(2 * lane) | of(2 * lane + 1) << 16);
            }
            Mnemonic::Vaddps if is_memory(2) => {
                let (a, b) =
                    (registers.vectors[number(1)], (address(2) as *const [u32; 16]).read_unaligned());
                let sum = |lane: usize| f32::from_bits(a[lane]) + f32::from_bits(b[lane]);
                registers.vectors[number(0)] = std::array::from_fn(|lane| sum(lane).to_bits());
            }
            Mnemonic::Vfmadd231ps if !is_memory(2) => {
                let (a, b) = (registers.vectors[number(1)], registers.vectors[number(2)]);
                for (lane, sum) in registers.vectors[number(0)].iter_mut().enumerate() {
                    let [a, b, c] = [a[lane], b[lane], *sum].map(f32::from_bits);
                    *sum = a.mul_add(b, c).to_bits();
                }
            }
            // The processor's own registers; the words above them are never read.
            Mnemonic::Vzeroupper => {}
            Mnemonic::Vdpbf16ps if !is_memory(2) => {
                let (a, b) = (registers.vectors[number(1)], registers.vectors[number(2)]);
                for (lane, sum) in registers.vectors[number(0)].iter_mut().enumerate() {
                    let odd = fused(a[lane] & 0xffff_0000, b[lane] & 0xffff_0000, *sum);
                    *sum = fused(a[lane] << 16, b[lane] << 16, odd);
                }
            }
            Mnemonic::Ldtilecfg => {
                let configuration = (address(0) as *const [u8; 64]).read_unaligned();
                let full = (0..8).all(|tile| {
                    configuration[16 + 2 * tile] == 64
                        && configuration[17 + 2 * tile] == 0
                        && configuration[48 + tile] == 16
                });
                if configuration[0] != 1 || !full {
                    return false;
                }
                registers.tiles = [[[0; 16]; 16]; 8];
                registers.configured = true;
            }
            Mnemonic::Tilerelease => registers.configured = false,
            _ if !registers.configured => return false,
            Mnemonic::Tilezero => registers.tiles[number(0)] = [[0; 16]; 16],
            Mnemonic::Tileloadd => {
                let rows = rows();
                registers.tiles[number(0)] =
                    std::array::from_fn(|row| (rows(row) as *const [u32; 16]).read_unaligned());
            }
            Mnemonic::Tilestored => {
                let rows = rows();
                for (row, values) in registers.tiles[number(1)].iter().enumerate() {
                    (rows(row) as *mut [u32; 16]).write_unaligned(*values);
                }
            }
            Mnemonic::Tdpbf16ps => {
                let (a, b) = (registers.tiles[number(1)], registers.tiles[number(2)]);
                for (a, sums) in a.iter().zip(&mut registers.tiles[number(0)]) {
                    let mut parts = [[0; 16]; 2];
                    for (a, b) in a.iter().zip(&b) {
                        for (lane, b) in b.iter().enumerate() {
                            parts[0][lane] = fused(a << 16, b << 16, parts[0][lane]);
                            parts[1][lane] = fused(a & 0xffff_0000, b & 0xffff_0000, parts[1][lane]);
                        }
                    }
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        *sum = plus(*sum, plus(parts[0][lane], parts[1][lane]));
                    }
                }
            }
            _ => return false,
        }
    }
    true
}

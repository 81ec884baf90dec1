//! A Rust engine that adds checkpoints to an orchtrace trace. Without the library it only computes.
//!
//! The functions are looked up at run time, so this needs no crate, no build script and no weak
//! linkage: copy the module `orch` into the engine.

mod orch {
    use std::ffi::{c_char, c_int, c_void, CStr, CString};
    use std::sync::OnceLock;

    extern "C" {
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }

    type EnabledFn = unsafe extern "C" fn() -> c_int;
    type LogFn = unsafe extern "C" fn(
        *const c_char,
        *const c_void,
        usize,
        *const c_char,
        *const c_char,
        i64,
    );
    type FlushFn = unsafe extern "C" fn();

    struct Library {
        enabled: EnabledFn,
        log: LogFn,
        flush: FlushFn,
    }

    fn find(name: &CStr) -> Option<*mut c_void> {
        // A null handle is RTLD_DEFAULT: every library of the process, injected ones included.
        let address = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
        (!address.is_null()).then_some(address)
    }

    fn library() -> Option<&'static Library> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        LIBRARY
            .get_or_init(|| unsafe {
                Some(Library {
                    enabled: std::mem::transmute::<*mut c_void, EnabledFn>(find(
                        c"orch_trace_enabled",
                    )?),
                    log: std::mem::transmute::<*mut c_void, LogFn>(find(c"orch_trace_log")?),
                    flush: std::mem::transmute::<*mut c_void, FlushFn>(find(c"orch_trace_flush")?),
                })
            })
            .as_ref()
    }

    /// Element types that the library reads. `half::f16` and `half::bf16` are one line each.
    pub trait Element: Copy {
        const DTYPE: &'static CStr;
    }
    impl Element for f32 {
        const DTYPE: &'static CStr = c"f32";
    }
    impl Element for f64 {
        const DTYPE: &'static CStr = c"f64";
    }

    pub fn enabled() -> bool {
        library().is_some_and(|library| unsafe { (library.enabled)() != 0 })
    }

    /// Adds one record. `values` is host memory and is read before this returns.
    pub fn log<T: Element>(checkpoint: &str, values: &[T], shape: &[usize], token_idx: i64) {
        let Some(library) = library().filter(|_| enabled()) else {
            return;
        };
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let shape = CString::new(format!("[{}]", sizes.join(","))).unwrap_or_default();
        let checkpoint = CString::new(checkpoint.replace('\0', "")).unwrap_or_default();
        unsafe {
            (library.log)(
                checkpoint.as_ptr(),
                values.as_ptr().cast(),
                values.len(),
                T::DTYPE.as_ptr(),
                shape.as_ptr(),
                token_idx,
            )
        }
    }

    /// Writes out what is buffered, before a point that may crash.
    pub fn flush() {
        if let Some(library) = library() {
            unsafe { (library.flush)() }
        }
    }
}

fn main() {
    let mut sum = 0.0;
    for token in 0..3 {
        let mut x: Vec<f32> = (0..16).map(|i| ((token * 16 + i) as f32).sin()).collect();
        orch::log("embedding", &x, &[1, x.len()], token);
        for layer in 0..2 {
            for value in &mut x {
                *value = (1.5 * *value + 0.1 * (layer + 1) as f32).tanh();
            }
            if orch::enabled() {
                orch::log(&format!("layer_{layer}_output"), &x, &[1, x.len()], token);
            }
        }
        let probabilities: Vec<f64> = x.iter().map(|&v| f64::from(v).exp()).collect();
        orch::log("logits", &probabilities, &[1, x.len()], token);
        sum += probabilities.iter().sum::<f64>();
    }
    orch::flush();
    println!("sum {sum:.6}");
}

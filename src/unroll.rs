//! Loops over a few values in registers, written out.

/// Runs `$body` for rows 0..`$rows` of a tile, unrolled: a loop would keep the accumulators in memory, and a
/// closure would not inherit the instruction set.
macro_rules! each_row {
    ($rows:ident, $r:ident => $body:block) => {
        each_row!(@ $rows, $r, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    (@ $rows:ident, $r:ident, $body:block, $($index:literal)+) => {$(
        if $index < $rows {
            // Checked by the condition above, which the compiler sees too.
            let $r = if $index < $rows { $index } else { 0 };
            $body
        }
    )+};
}
pub(crate) use each_row;

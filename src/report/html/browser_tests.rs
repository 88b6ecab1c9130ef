//! The page as a browser shows it, with scripts off and on, dark and light, narrow and wide. Needs `chromium`.
use super::render;
use crate::base::requirement;
use crate::report::document::{Block, Document, Figure, Table};
use std::path::Path;
use std::process::Command;

fn page() -> Document {
    let row = |name: &str, value: &str| {
        let mut row = vec![name.to_string(), value.to_string()];
        row.extend((0..9).map(|i| format!("{i}5.2 (43.1 to 47.3)")));
        row
    };
    let mut header = ["arm", "parameters"].map(String::from).to_vec();
    header.extend((0..9).map(|i| format!("column {i}")));
    let values = ["920 k", "1.2 M", "459 k", "", "−3.1", "12", "7", "88 k"];
    let rows = values
        .iter()
        .enumerate()
        .map(|(i, value)| row(&format!("`direct_proportional_total_tokens_{i}`"), value));
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.push(row("chance", "1 k"));
    let mut table = Table::new("arms", "All arms.", 1, header, rows);
    table.footer = 1;
    let svg = |width: u32| {
        format!(
            "<svg width=\"{width}\" height=\"90\" viewBox=\"0 0 {width} 90\" xmlns=\"http://www.w3.org/2000/svg\">\n\
             <rect x=\"0\" y=\"0\" width=\"{width}\" height=\"90\" fill=\"#FFFFFF\"/><text x=\"9\" y=\"40\" fill=\"#282828\">ink</text></svg>"
        )
    };
    let figure = Figure { name: "one".into(), caption: "A figure.".into(), svg: svg(900), narrow: svg(430) };
    let blocks = vec![Block::Heading("Answers".into()), Block::Table(table), Block::Figure(figure)];
    Document { title: "page".into(), blocks }
}

/// The page's elements after it was loaded `wide` pixels wide and `script` was run at its end; `None` without a browser.
fn shown(wide: u32, options: &[&str], script: &str) -> Option<String> {
    scripted(&render(&page(), None), wide, options, script)
}

/// Windows of a browser are not narrower than this.
const NARROWEST_WINDOW: u32 = 520;

fn scripted(html: &str, wide: u32, options: &[&str], script: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let tell = "parent.postMessage(document.title, '*');";
    let html = html.replace("</body>", &format!("<script>{script}; {tell}</script></body>"));
    std::fs::write(&file, html).unwrap();
    if wide >= NARROWEST_WINDOW {
        return run(&file, wide, options);
    }
    // A frame may be narrower than a window.
    let frame = folder.path().join("frame.html");
    let listen = "<script>addEventListener('message', (event) => { document.title = event.data; });</script>";
    let page = format!(
        "<!DOCTYPE html><title>no title</title>{listen}<iframe src=\"page.html\" style=\"border:0;width:{wide}px;height:900px\"></iframe>"
    );
    std::fs::write(&frame, page).unwrap();
    run(&frame, 1000, options)
}

/// The title that `script` gives a page shown `wide` pixels wide; `None` without a browser.
pub fn told_of(html: &str, wide: u32, script: &str) -> Option<String> {
    scripted(html, wide, &[], script).map(|dom| told(&dom).to_string())
}

fn run(file: &Path, wide: u32, options: &[&str]) -> Option<String> {
    let profile = file.with_extension("profile");
    let done = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=2000"])
        .arg(format!("--window-size={wide},900"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(options)
        .arg(format!("file://{}", file.display()))
        .output();
    match done {
        Ok(done) => Some(String::from_utf8_lossy(&done.stdout).into_owned()),
        Err(_) => {
            requirement::skip("chromium", "it is not installed");
            None
        }
    }
}

/// What the script wrote as the page's title.
fn told(dom: &str) -> &str {
    dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or("no title")
}

#[test]
fn without_scripts_the_page_is_complete() {
    // The browser's own switch would also stop what prints the page: a policy forbids scripts in the page alone.
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'none'\">";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let html =
        render(&page(), None).replace("</body>", "<script>document.title = 'scripts ran'</script></body>");
    std::fs::write(&file, html.replace("<title>", &format!("{policy}<title>"))).unwrap();
    let Some(dom) = run(&file, 1000, &[]) else { return };
    assert_eq!(told(&dom), "page");
    assert_eq!(dom.matches("<tr>").count(), 10);
    assert!(!dom.contains("type=\"search\"") && dom.contains("href=\"#section-answers\""));
    assert!(dom.contains("<svg role=\"img\" aria-label=\"A figure.\""));
}

#[test]
fn with_scripts_tables_are_sorted_and_filtered() {
    // By parameters, up and down; the empty cell stays last and the row about all others at the end.
    let script = "const names = () => [...document.querySelector('tbody').rows].filter((r) => !r.hidden).map((r) => r.cells[0].textContent.slice(-1)).join('');\
                  const head = document.querySelectorAll('th')[1];\
                  const told = []; head.click(); told.push(names()); head.click(); told.push(names());\
                  const filter = document.querySelector('.filter');\
                  filter.value = 'TOKENS_2'; filter.dispatchEvent(new Event('input')); told.push(names());\
                  told.push(document.querySelector('tfoot').rows.length);\
                  document.title = told.join(' ');";
    let Some(dom) = shown(1000, &[], script) else { return };
    assert_eq!(told(&dom), "46572013 10275643 2 1");
}

/// Only tables scroll sideways, never the page; the first column stays; on a small screen figures are drawn narrow.
#[test]
fn the_page_is_as_wide_as_the_screen() {
    let script = "const wide = (s) => getComputedStyle(document.querySelector(s)).display !== 'none';\
                  const box = document.querySelector('.wide'); box.scrollLeft = 300;\
                  const first = document.querySelector('td').getBoundingClientRect().left - box.getBoundingClientRect().left;\
                  document.title = [document.documentElement.scrollWidth <= window.innerWidth, box.scrollWidth > box.clientWidth ? 'scrolls' : 'fits', Math.round(first), wide('.narrow'), wide('.wide-sheet')].join(' ');";
    let narrow = "true scrolls 0 true false";
    let wide = "true scrolls 0 false true";
    let room = "true fits 0 false true";
    for (width, expected) in [(400, narrow), (520, narrow), (1000, wide), (1600, room)] {
        let Some(dom) = shown(width, &[], script) else { return };
        assert_eq!(told(&dom), expected, "{width}");
    }
}

#[test]
fn figures_follow_the_page_into_the_dark() {
    let script = "const of = (s, k) => getComputedStyle(document.querySelector(s))[k];\
                  document.title = [of('body', 'backgroundColor'), of('.wide-sheet rect', 'fill'), of('.wide-sheet text', 'fill')].join('; ');";
    let Some(light) = shown(1000, &[], script) else { return };
    assert_eq!(told(&light), "rgb(255, 255, 255); rgb(255, 255, 255); rgb(40, 40, 40)");
    let Some(dark) = shown(1000, &["--blink-settings=preferredColorScheme=0"], script) else { return };
    assert_eq!(told(&dark), "rgb(22, 22, 22); rgb(22, 22, 22); rgb(222, 222, 222)");
}

/// Rows are whole pixels high, or the lines of the first column, which stays while the others scroll, would lie beside theirs;
/// names are broken on a small screen alone.
#[test]
fn lines_of_tables_meet_and_names_are_whole() {
    let script = "const rows = [...document.querySelectorAll('tr')].map((row) => row.getBoundingClientRect().height);\
                  const name = document.querySelector('td code').getClientRects().length;\
                  document.title = [rows.every(Number.isInteger), name].join(' ');";
    for (width, expected) in [(400, "true 3"), (1000, "true 1"), (1600, "true 1")] {
        let Some(dom) = shown(width, &[], script) else { return };
        assert_eq!(told(&dom), expected, "{width}");
    }
}

/// A table of a hundred runs is no longer than the screen: it scrolls below its header.
#[test]
fn long_tables_scroll_below_their_header() {
    let rows = (0..100).map(|run| vec![format!("`run_{run}`"), run.to_string()]).collect();
    let table = Table::new("seeds", "All runs.", 1, ["run", "seed"].map(String::from).to_vec(), rows);
    let document = Document { title: "long".into(), blocks: vec![Block::Table(table)] };
    let script = "const box = document.querySelector('.wide'); box.scrollTop = 500;\
                  const at = (e) => e.getBoundingClientRect().top;\
                  document.title = [box.clientHeight < innerHeight, box.scrollHeight > 2000, Math.round(at(document.querySelector('th')) - at(box))].join(' ');";
    for width in [400, 1000] {
        let Some(told) = told_of(&render(&document, None), width, script) else { return };
        assert_eq!(told, "true true 0", "{width}");
    }
}

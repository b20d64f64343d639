use std::sync::mpsc;

use super::*;

const ONE: ShopNumber = ShopNumber(1);
const TWO: ShopNumber = ShopNumber(2);
const THREE: ShopNumber = ShopNumber(3);

fn turns(threads: usize) -> Turns {
    Turns::with_threads(threads, IntGauge::new("waiting", "waiting").unwrap())
}

/// What was done, in its order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<&'static str>>>);

impl Diary {
    fn read(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    /// Puts a piece into the line, which is there on return, and runs it.
    fn start(&self, turns: &Turns, shop: ShopNumber, name: &'static str) -> tokio::task::JoinHandle<()> {
        let diary = self.clone();
        start(turns, shop, move || diary.0.lock().unwrap().push(name))
    }
}

fn start(turns: &Turns, shop: ShopNumber, work: impl FnOnce() + Send + 'static) -> tokio::task::JoinHandle<()> {
    let running = turns.clone();
    let mut run = Box::pin(async move { running.run(shop, 0, work).await.unwrap() });
    // Polled once, it has its place.
    let waker = std::task::Waker::noop();
    assert!(
        run.as_mut()
            .poll(&mut std::task::Context::from_waker(waker))
            .is_pending()
    );
    tokio::spawn(run)
}

/// Work that ends when it is told to.
async fn stuck(turns: &Turns, shop: ShopNumber) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, released) = mpsc::channel();
    let (tell, begun) = oneshot::channel();
    let work = start(turns, shop, move || {
        tell.send(()).unwrap();
        released.recv().unwrap();
    });
    begun.await.unwrap();
    (release, work)
}

#[tokio::test]
async fn shops_take_turns_and_each_keeps_its_order() {
    let (turns, diary) = (turns(1), Diary::default());
    let (release, first) = stuck(&turns, ONE).await;
    let mut all = vec![first];
    for (shop, name) in [
        (ONE, "one a"),
        (ONE, "one b"),
        (ONE, "one c"),
        (TWO, "two a"),
        (TWO, "two b"),
        (THREE, "three a"),
    ] {
        all.push(diary.start(&turns, shop, name));
    }
    assert_eq!(turns.waiting.get(), 6);
    release.send(()).unwrap();
    for work in all {
        work.await.unwrap();
    }
    let expected = ["two a", "three a", "one a", "two b", "one b", "one c"];
    assert_eq!(diary.read(), expected);
    assert_eq!(turns.waiting.get(), 0);
    let line = turns.lock();
    assert_eq!((line.free, line.shops.len(), line.waiting), (1, 0, Load::default()));
}

#[tokio::test]
async fn a_shop_has_one_thread_and_the_others_have_the_rest() {
    let (turns, diary) = (turns(2), Diary::default());
    let (release, first) = stuck(&turns, ONE).await;
    let second = diary.start(&turns, ONE, "one");
    for name in ["two a", "two b"] {
        diary.start(&turns, TWO, name).await.unwrap();
    }
    assert_eq!(diary.read(), ["two a", "two b"]);
    release.send(()).unwrap();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(diary.read(), ["two a", "two b", "one"]);
}

#[tokio::test]
async fn work_whose_client_hung_up_is_not_run() {
    let (turns, diary) = (turns(1), Diary::default());
    let (release, first) = stuck(&turns, ONE).await;
    let gone = [
        diary.start(&turns, ONE, "gone"),
        diary.start(&turns, TWO, "gone"),
        diary.start(&turns, TWO, "gone"),
    ];
    let stays = diary.start(&turns, TWO, "stays");
    for gone in gone {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    assert_eq!(turns.waiting.get(), 1);
    release.send(()).unwrap();
    first.await.unwrap();
    stays.await.unwrap();
    assert_eq!(diary.read(), ["stays"]);
    assert_eq!(turns.lock().free, 1);
}

#[tokio::test]
async fn a_turn_that_nobody_takes_goes_on_to_the_next() {
    let turns = turns(1);
    let unused = turns.enter(ONE, 0).unwrap();
    let next = turns.enter(TWO, 0).unwrap();
    // The first has its turn already, and its client hangs up before it knows.
    assert_eq!(turns.lock().free, 0);
    drop(unused);
    drop(next);
    turns.run(THREE, 0, || ()).await.unwrap();
}

#[tokio::test]
async fn a_thread_that_is_busy_is_not_free_when_its_client_hangs_up() {
    let (turns, diary) = (turns(1), Diary::default());
    let (release, first) = stuck(&turns, ONE).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = diary.start(&turns, TWO, "two");
    assert_eq!((turns.lock().free, turns.waiting.get()), (0, 1));
    release.send(()).unwrap();
    second.await.unwrap();
}

#[tokio::test]
async fn work_that_panics_gives_its_thread_back() {
    let turns = turns(1);
    let broken = turns
        .run(ONE, 0, || panic!("a template that was never thought of"))
        .await;
    assert_eq!(broken.unwrap_err().kind(), Kind::Internal);
    assert_eq!(turns.run(ONE, 0, || 7).await.unwrap(), 7);
}

#[test]
fn a_shop_that_fills_its_places_takes_none_of_the_others() {
    let turns = turns(0);
    let filled: Vec<_> = (0..Bound::SHOP.pieces).map(|_| turns.enter(ONE, 0).unwrap()).collect();
    assert_eq!(turns.enter(ONE, 0).err().unwrap().kind(), Kind::Limited);
    drop(turns.enter(TWO, 0).unwrap());
    drop(filled);
    drop(turns.enter(ONE, 0).unwrap());
}

#[test]
fn bytes_are_bounded_too() {
    let turns = turns(0);
    // However large it is, the first has a place.
    let large = turns.enter(ONE, 2 * Bound::SHOP.bytes).unwrap();
    assert_eq!(turns.enter(ONE, 1).err().unwrap().kind(), Kind::Limited);
    drop(large);
    drop(turns.enter(ONE, 1).unwrap());
}

#[test]
fn all_shops_together_have_a_bound() {
    let turns = turns(0);
    let shops = u32::try_from(Bound::ALL.pieces / Bound::SHOP.pieces).unwrap();
    let places = (0..shops).flat_map(|shop| (0..Bound::SHOP.pieces).map(move |_| ShopNumber(shop)));
    let filled: Vec<_> = places.map(|shop| turns.enter(shop, 0).unwrap()).collect();
    assert_eq!(turns.enter(ShopNumber(shops), 0).err().unwrap().kind(), Kind::Busy);
    drop(filled);
    drop(turns.enter(ONE, 0).unwrap());
    assert!(turns.lock().shops.is_empty());
}
